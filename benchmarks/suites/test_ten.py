"""Ten tests of the kinds that suites of pipelines are made of, each on some rows, with files on this machine."""

import datetime

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType


@pytest.fixture
def orders(spark_session):
    rows = [
        (number, f"customer {number % 5}", float(number % 7), datetime.date(2026, 1 + number % 3, 1))
        for number in range(60)
    ]
    return spark_session.createDataFrame(rows, ["id", "customer", "price", "day"])


@pytest.fixture
def customers(spark_session):
    rows = [(f"customer {number}", "DE" if number % 2 else "FR") for number in range(4)]
    return spark_session.createDataFrame(rows, ["customer", "country"])


def test_filter_and_cast(orders):
    cheap = orders.where("price < 2").select(F.col("id").cast("string"), F.upper("customer").alias("who"))
    assert {row.who for row in cheap.collect()} == {f"CUSTOMER {number}" for number in range(5)}


def test_join(orders, customers):
    joined = orders.join(customers, "customer", "left")
    assert joined.where(F.col("country").isNull()).count() == 12


def test_aggregation(orders, customers):
    by_country = (
        orders.join(customers, "customer").groupBy("country").agg(F.sum("price"), F.countDistinct("day"))
    )
    assert [tuple(row) for row in by_country.orderBy("country").collect()] == [
        ("DE", 71.0, 3),
        ("FR", 68.0, 3),
    ]


def test_window(orders):
    last = Window.partitionBy("customer").orderBy(F.desc("id"))
    newest = orders.withColumn("rank", F.row_number().over(last)).where("rank = 1")
    assert sorted(row.id for row in newest.collect()) == [55, 56, 57, 58, 59]


def test_python_function(orders):
    with_tax = F.udf(lambda price: price * 1.19, DoubleType())
    total = orders.select(with_tax("price").alias("price")).groupBy().sum("price").first()[0]
    assert total == pytest.approx(174 * 1.19)


def test_sql(spark_session, orders):
    orders.createOrReplaceTempView("orders")
    counts = spark_session.sql("SELECT month(day) AS month, count(*) AS n FROM orders GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in counts.collect()] == [(1, 20), (2, 20), (3, 20)]


def test_duplicates_and_nulls(spark_session, orders):
    twice = orders.union(orders).dropDuplicates(["id"]).na.fill(0.0)
    assert twice.exceptAll(orders).count() == 0


def test_parquet(spark_session, orders, tmp_path):
    target = str(tmp_path / "orders")
    orders.write.partitionBy("day").parquet(target)
    assert spark_session.read.parquet(target).where("day = '2026-02-01'").count() == 20


def test_csv(spark_session, orders, tmp_path):
    target = str(tmp_path / "orders")
    orders.write.csv(target, header=True)
    assert dict(spark_session.read.csv(target, header=True, inferSchema=True).dtypes)["price"] == "double"


def test_table(spark_session, customers):
    customers.write.mode("overwrite").saveAsTable("bench_customers")
    assert spark_session.table("bench_customers").count() == 4
    spark_session.sql("DROP TABLE bench_customers")
