import datetime

import pytest
from orders import build_mart, word_count

pytestmark = pytest.mark.usefixtures("spark_session")


@pytest.fixture(scope="module")
def orders(spark_session):
    rows = [
        ("2024-03-01 10:00:00", "DE", 10.0),
        ("2024-03-01 23:59:59", "DE", 5.5),
        ("2024-03-02 00:00:00", "FR", 7.0),
    ]
    frame = spark_session.createDataFrame(rows, "ordered_at string, country string, amount double")
    frame.write.mode("overwrite").saveAsTable("orders")
    yield
    spark_session.sql("DROP TABLE orders")


@pytest.fixture(scope="module")
def mart(spark_session, orders):
    build_mart(spark_session)
    yield
    spark_session.sql("DROP DATABASE mart CASCADE")


def test_options_of_the_ini_file_hold(spark_session):
    assert spark_session.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark_session.sparkContext.appName == "orders-tests"
    assert spark_session.conf.get("spark.sql.shuffle.partitions") == "1"


def test_hive_is_enabled(spark_session):
    assert spark_session.conf.get("spark.sql.catalogImplementation") == "hive"
    spark_session.sql("CREATE TABLE plain_hive (id INT, name STRING) STORED AS ORC")
    spark_session.sql("INSERT INTO plain_hive VALUES (1, 'a'), (2, 'b')")
    assert spark_session.table("plain_hive").count() == 2
    provider = spark_session.sql("DESCRIBE FORMATTED plain_hive").where("col_name = 'Provider'").first()
    assert provider.data_type == "hive"
    spark_session.sql("DROP TABLE plain_hive")


def test_daily_totals(spark_session, mart):
    totals = spark_session.table("mart.daily_totals").orderBy("day").collect()
    assert [(row.day, row.country, row.amount) for row in totals] == [
        (datetime.date(2024, 3, 1), "DE", 15.5),
        (datetime.date(2024, 3, 2), "FR", 7.0),
    ]


def test_the_mart_is_partitioned(spark_session, mart):
    partitions = {row.partition for row in spark_session.sql("SHOW PARTITIONS mart.daily_totals").collect()}
    assert partitions == {"day=2024-03-01", "day=2024-03-02"}


def test_external_table(spark_session, tmp_path):
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "part.csv").write_text("1,open\n2,close\n")
    spark_session.sql(
        "CREATE EXTERNAL TABLE events (id INT, kind STRING) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' "
        f"LOCATION '{tmp_path / 'events'}'"
    )
    assert [row.kind for row in spark_session.sql("SELECT kind FROM events ORDER BY id").collect()] == [
        "open",
        "close",
    ]
    spark_session.sql("DROP TABLE events")


def test_rdd(spark_context):
    assert word_count(spark_context, ["to be or", "not to be"]) == {"to": 2, "be": 2, "or": 1, "not": 1}


def test_context_is_that_of_the_session(spark_context, spark_session):
    assert spark_context is spark_session.sparkContext
    accumulator = spark_context.accumulator(0)
    spark_context.range(10).foreach(accumulator.add)
    assert accumulator.value == 45


def test_global_view_and_cache(spark_session):
    spark_session.range(5).cache().createOrReplaceGlobalTempView("five")
    assert spark_session.sql("SELECT sum(id) FROM global_temp.five").first()[0] == 10
    spark_session.catalog.dropGlobalTempView("five")
    spark_session.catalog.clearCache()
