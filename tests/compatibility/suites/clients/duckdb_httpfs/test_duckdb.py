from pathlib import Path

import boto3
import duckdb
import duckdb_extension_httpfs
import pytest

# Our runners have no internet: the extension comes with a package, and is loaded from where pip put it.
HTTPFS = Path(duckdb_extension_httpfs.__file__).parent.glob("extensions/*/httpfs.duckdb_extension")


@pytest.fixture(scope="module")
def extension():
    return next(HTTPFS)


@pytest.fixture
def db(extension, lake):
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute(
            "CREATE TABLE sales AS SELECT * FROM (VALUES (1, 'de'), (2, 'de'), (3, 'fr')) t(id, country)"
        )
        yield connection


def keys(prefix):
    listed = boto3.client("s3").list_objects_v2(Bucket="duck-lake", Prefix=prefix)
    return sorted(entry["Key"] for entry in listed.get("Contents", []))


def test_parquet(db, lake):
    db.execute(f"COPY sales TO '{lake}/sales.parquet'")
    assert keys("sales") == ["sales.parquet"]
    assert db.execute(f"SELECT sum(id) FROM '{lake}/sales.parquet'").fetchone() == (6,)


def test_partitions_and_glob(db, lake):
    db.execute(f"COPY sales TO '{lake}/parts' (FORMAT parquet, PARTITION_BY (country))")
    assert {key.split("/")[1] for key in keys("parts/")} == {"country=de", "country=fr"}
    parts = f"read_parquet('{lake}/parts/*/*.parquet', hive_partitioning=true)"
    assert db.execute(f"SELECT count(*) FROM {parts} WHERE country = 'de'").fetchone() == (2,)


def test_csv_that_boto3_wrote(db, lake):
    boto3.client("s3").put_object(Bucket="duck-lake", Key="in/a.csv", Body=b"id,name\n1,x\n2,y\n")
    assert db.sql(f"SELECT name FROM read_csv('{lake}/in/*.csv') ORDER BY id").fetchall() == [("x",), ("y",)]


def test_file_of_its_own(extension, lake, tmp_path):
    connection = duckdb.connect(str(tmp_path / "local.duckdb"), config={"threads": 2})
    connection.load_extension(str(extension))
    connection.execute(f"COPY (SELECT 42 AS answer) TO '{lake}/answer.parquet'")
    connection.execute(f"CREATE TABLE answer AS FROM '{lake}/answer.parquet'")
    assert connection.table("answer").fetchall() == [(42,)]
    connection.close()


def test_region_set(db, lake):
    db.execute(f"SET s3_region='{boto3.Session().region_name}'")
    db.execute(f"COPY sales TO '{lake}/region.json' (FORMAT json)")
    assert keys("region") == ["region.json"]


def test_data_frame(db, lake):
    db.execute(f"COPY sales TO '{lake}/frame.parquet'")
    frame = db.execute(
        f"SELECT country, count(*) AS n FROM '{lake}/frame.parquet' GROUP BY 1 ORDER BY 1"
    ).df()
    assert frame.to_dict("list") == {"country": ["de", "fr"], "n": [2, 1]}


def test_default_connection(extension, lake):
    duckdb.load_extension(str(extension))
    duckdb.sql(f"COPY (SELECT 1 AS a) TO '{lake}/default.parquet'")
    assert duckdb.read_parquet(f"{lake}/default.parquet").fetchall() == [(1,)]
    assert keys("default") == ["default.parquet"]
