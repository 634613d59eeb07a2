import boto3
import polars as pl
import pytest
from polars.testing import assert_frame_equal


@pytest.fixture
def frame():
    return pl.DataFrame({"id": [1, 2, 3], "country": ["de", "fr", "de"], "amount": [1.0, 2.0, 3.5]})


def keys(prefix):
    listed = boto3.client("s3").list_objects_v2(Bucket="polars-lake", Prefix=prefix)
    return sorted(entry["Key"] for entry in listed.get("Contents", []))


def test_write_and_read(lake, frame):
    frame.write_parquet(f"{lake}/one.parquet")
    assert keys("one") == ["one.parquet"]
    assert_frame_equal(pl.read_parquet(f"{lake}/one.parquet"), frame)


def test_scan(lake, frame):
    frame.write_parquet(f"{lake}/scan/a.parquet")
    frame.write_parquet(f"{lake}/scan/b.parquet")
    totals = (
        pl.scan_parquet(f"{lake}/scan/*.parquet")
        .filter(pl.col("country") == "de")
        .select(pl.col("amount").sum())
    )
    assert totals.collect().item() == 9.0


def test_sink(lake, frame):
    frame.lazy().with_columns(double=pl.col("amount") * 2).sink_parquet(f"{lake}/sunk.parquet")
    assert pl.scan_parquet(f"{lake}/sunk.parquet").select("double").collect().to_series().to_list() == [
        2.0,
        4.0,
        7.0,
    ]


def test_csv(lake, frame):
    frame.write_csv(f"{lake}/one.csv")
    assert_frame_equal(pl.read_csv(f"{lake}/one.csv"), frame)
    assert pl.scan_csv(f"{lake}/one.csv").select(pl.len()).collect().item() == 3


def test_what_boto3_wrote(lake):
    boto3.client("s3").put_object(Bucket="polars-lake", Key="lines/a.ndjson", Body=b'{"x": 1}\n{"x": 2}\n')
    assert pl.scan_ndjson(f"{lake}/lines/a.ndjson").collect()["x"].to_list() == [1, 2]
