import json
from unittest import TestCase

import boto3
import pytest
from jobs import clicks
from jobs.session import get_spark
from jobs.udfs import euros, host_of
from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import udf
from pyspark.sql.types import IntegerType

CLICKS = [
    {"url": "https://Shop.example/cart?x=1", "tags": "a|b", "cents": 1999, "day": "2024-05-01"},
    {"url": "http://blog.example:8080/", "tags": "", "cents": 0, "day": "2024-05-01"},
    {"url": "https://shop.example/", "tags": None, "cents": 499, "day": "2024-05-02"},
]


@udf(IntegerType())
def plus_one(value):
    return value + 1


@pytest.fixture(scope="module")
def lake():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="web-lake")
    body = "\n".join(json.dumps(click) for click in CLICKS)
    s3.put_object(Bucket="web-lake", Key="raw/clicks.json", Body=body.encode())
    return "s3://web-lake"


@pytest.fixture(scope="module")
def done(lake):
    clicks.main(["--source", f"{lake}/raw/", "--target", f"{lake}/clicks", "--table", "hosts"])
    return lake


def test_partitions_are_in_the_lake(done):
    listed = boto3.client("s3").list_objects_v2(Bucket="web-lake", Prefix="clicks/")["Contents"]
    days = {entry["Key"].split("/")[1] for entry in listed if "day=" in entry["Key"]}
    assert days == {"day=2024-05-01", "day=2024-05-02"}


def test_what_was_written(done):
    spark = SparkSession.builder.getOrCreate()
    rows = spark.read.parquet(f"{done}/clicks").orderBy("price").collect()
    assert [(row.host, row.tags, row.price) for row in rows] == [
        ("blog.example", [], 0.0),
        ("shop.example", [], 4.99),
        ("shop.example", ["a", "b"], 19.99),
    ]


def test_dynamic_overwrite_keeps_other_days(done):
    spark = get_spark("again")
    day = spark.createDataFrame([Row(host="new.example", tags=["c"], price=1.0, day="2024-05-02")])
    target = spark.read.parquet(f"{done}/clicks")
    day.write.mode("overwrite").partitionBy("day").parquet(f"{done}/clicks")
    spark.catalog.refreshByPath(f"{done}/clicks")
    target = spark.read.parquet(f"{done}/clicks")
    assert {(str(row.day), row.host) for row in target.select("day", "host").distinct().collect()} == {
        ("2024-05-01", "blog.example"),
        ("2024-05-01", "shop.example"),
        ("2024-05-02", "new.example"),
    }


def test_hive_table(done):
    spark = get_spark("report")
    hosts = {row.host: (row.clicks, round(row.spread, 2)) for row in spark.table("web.hosts").collect()}
    assert hosts == {"shop.example": (2, 15.0), "blog.example": (1, 0.0)}
    assert spark.conf.get("spark.sql.catalogImplementation") == "hive"


class SparkCase(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.spark = SparkSession.builder.appName("unittest").getOrCreate()

    def test_python_udf(self):
        frame = self.spark.createDataFrame([("https://A.example/x",), ("nothing",), (None,)], "url string")
        self.assertEqual(
            [row[0] for row in frame.select(host_of("url")).collect()], ["a.example", None, None]
        )

    def test_pandas_udf(self):
        self.assertEqual(
            [row[0] for row in self.spark.range(3).select(euros("id")).collect()], [0.0, 0.01, 0.02]
        )


def test_stopped_and_made_anew():
    spark = get_spark("first")
    assert spark.range(2).select(plus_one("id").alias("x")).agg({"x": "sum"}).first()[0] == 3
    spark.stop()
    # With a new context, functions of modules that are imported already work as before.
    spark = SparkSession.builder.master("local[1]").appName("second").getOrCreate()
    assert spark.sparkContext.appName == "second"
    assert spark.range(2).select(plus_one("id").alias("x")).agg({"x": "sum"}).first()[0] == 3
    assert spark.range(1).select(euros("id")).first()[0] == 0.0
    spark.stop()
