import pytest
from delta.tables import DeltaTable
from lake.accounts import upsert

SCHEMA = "id int, owner string"


@pytest.fixture(scope="module")
def accounts(spark, root):
    path = f"{root}/accounts"
    upsert(spark, path, spark.createDataFrame([(1, "ada"), (2, "bob")], SCHEMA))
    upsert(spark, path, spark.createDataFrame([(2, "eve"), (3, "joe")], SCHEMA))
    return path


def rows(frame):
    return sorted(tuple(row) for row in frame.collect())


def test_upsert(spark, accounts):
    assert rows(spark.read.format("delta").load(accounts)) == [(1, "ada"), (2, "eve"), (3, "joe")]


def test_time_travel(spark, accounts):
    first = spark.read.format("delta").option("versionAsOf", 0).load(accounts)
    assert rows(first) == [(1, "ada"), (2, "bob")]


def test_history(spark, accounts):
    operations = [row.operation for row in DeltaTable.forPath(spark, accounts).history().collect()]
    assert operations == ["MERGE", "WRITE"]


def test_catalog_table(spark):
    spark.sql("CREATE TABLE owners (id INT, owner STRING) USING delta")
    spark.sql("INSERT INTO owners VALUES (1, 'ada')")
    spark.sql("UPDATE owners SET owner = 'eve' WHERE id = 1")
    assert rows(spark.table("owners")) == [(1, "eve")]
    spark.sql("DROP TABLE owners")
