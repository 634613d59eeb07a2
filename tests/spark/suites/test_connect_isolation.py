"""Tests of one Spark Connect server, each with a session of its own; it runs in a process of its own."""

import os
import statistics
import time

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.types import IntegerType

from pytest_isolated_emr.spark.connect.isolation import ConnectIsolation

URL = os.environ["SPARK_REMOTE"]
KEPT = {}


def connect():
    return SparkSession.builder.remote(URL).create()


def server_side(session, method, *arguments):
    """Call a method of tests/spark/java/ServerSide.java."""
    given = "".join(f", '{argument}'" for argument in arguments)
    return session.sql(f"SELECT reflect('isolatedemrtest.ServerSide', '{method}'{given})").collect()[0][0]


def tables(session, database="default"):
    return sorted(table.name for table in session.catalog.listTables(database) if not table.isTemporary)


def global_views(session):
    return sorted(table.name for table in session.catalog.listTables("global_temp") if table.isTemporary)


def databases(session):
    return sorted(database.name for database in session.catalog.listDatabases())


def is_cached(session, view):
    return session.catalog.isCached(view)


@pytest.fixture(scope="session")
def isolation():
    shared = SparkSession.builder.remote(URL).getOrCreate()
    yield ConnectIsolation(shared, {})
    shared.stop()


@pytest.fixture
def spark(isolation):
    with isolation.fresh_session() as session:
        yield session


@pytest.fixture(scope="module")
def wider(isolation):
    """What a wider fixture made stays."""
    shared = isolation.shared
    shared.range(7).write.saveAsTable("wide")
    server_side(shared, "setHadoop", "set.by.wider", "wide")
    server_side(shared, "persist", "wide")
    shared.range(11).createOrReplaceGlobalTempView("wide_view")
    shared.catalog.cacheTable("global_temp.wide_view")
    shared.table("global_temp.wide_view").count()
    shared.sql("CREATE DATABASE wide_database")
    yield shared.table("global_temp.wide_view")
    shared.sql("DROP TABLE wide")
    shared.sql("DROP DATABASE wide_database")
    shared.catalog.dropGlobalTempView("wide_view")


def test_leaves_things(spark, wider):
    spark.sql("CREATE DATABASE left_database")
    spark.range(3).write.saveAsTable("left_table")
    spark.range(3).write.saveAsTable("left_database.t")
    spark.range(3).write.saveAsTable("wide_database.t")
    spark.range(3).createOrReplaceTempView("left_view")
    spark.range(3).createOrReplaceGlobalTempView("left_global_view")
    spark.sql("CREATE VIEW left_stored_view AS SELECT 1 AS one")
    spark.sql("USE left_database")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    spark.udf.register("left_udf", lambda x: x + 1, IntegerType())
    assert spark.sql("SELECT left_udf(1)").collect()[0][0] == 2
    server_side(spark, "setHadoop", "left.setting", "left")
    server_side(spark, "setHadoop", "io.file.buffer.size", "12345")
    server_side(spark, "unsetHadoop", "hadoop.tmp.dir")
    server_side(spark, "persist", "left")
    # The plan is known by itself, whoever asks.
    spark.range(99).cache().count()
    spark.readStream.format("rate").load().writeStream.format("memory").queryName("left_stream").start()
    assert server_side(spark, "streams") == "1"


def test_sees_none_of_them(spark, wider, isolation):
    assert tables(spark) == ["wide"]
    assert databases(spark) == ["default", "wide_database"]
    assert tables(spark, "wide_database") == []
    assert spark.catalog.currentDatabase() == "default"
    assert global_views(spark) == ["wide_view"]
    assert not [table for table in spark.catalog.listTables() if table.name == "left_view"]
    assert spark.conf.get("spark.sql.session.timeZone") != "Asia/Tokyo"
    assert not [function for function in spark.catalog.listFunctions() if function.name == "left_udf"]
    assert server_side(spark, "hadoop", "left.setting") == "null"
    assert server_side(spark, "hadoop", "io.file.buffer.size") == "65536"
    assert server_side(spark, "hadoop", "hadoop.tmp.dir") != "null"
    assert server_side(spark, "hadoop", "set.by.wider") == "wide"
    assert server_side(spark, "persisted", "left") == "0"
    assert server_side(spark, "streams") == "0"
    assert not spark.range(99).storageLevel.useMemory
    # Those of the wider fixture.
    assert server_side(spark, "persisted", "wide") == "1"
    assert is_cached(spark, "global_temp.wide_view")
    assert server_side(spark, "persistedInAll") == "2"
    assert wider.count() == 11
    assert spark.table("wide").count() == 7
    # The same name can be used again: the files are gone as well.
    spark.range(1).write.saveAsTable("left_table")


def test_a_job_under_test_gets_the_tests_session(spark, isolation):
    spark.range(5).createOrReplaceTempView("numbers")
    job = SparkSession.builder.appName("job").config("spark.sql.ansi.enabled", "true").getOrCreate()
    assert job is spark
    assert SparkSession.getActiveSession() is spark
    assert SparkSession.active() is spark
    assert job.table("numbers").count() == 5
    assert isolation.shared is not spark


def test_after_a_test_the_sessions_before_are_current(isolation):
    with isolation.fresh_session():
        pass
    assert SparkSession.getActiveSession() is isolation.shared
    assert SparkSession.builder.getOrCreate() is isolation.shared


def test_a_directory_of_the_users_outlives_its_database(spark, tmp_path):
    (tmp_path / "precious").write_text("mine")
    KEPT["precious"] = tmp_path / "precious"
    spark.sql(f"CREATE DATABASE risky LOCATION '{tmp_path}'")
    spark.range(3).write.saveAsTable("risky.t")
    assert (tmp_path / "t").is_dir()


def test_that_directory_is_there(spark):
    assert KEPT["precious"].read_text() == "mine"
    assert not (KEPT["precious"].parent / "t").exists()
    assert "risky" not in databases(spark)


@pytest.fixture(scope="module")
def lazy(isolation):
    """Cached, but not computed yet."""
    isolation.shared.range(13).createOrReplaceGlobalTempView("lazy_view")
    isolation.shared.catalog.cacheTable("global_temp.lazy_view")
    yield
    isolation.shared.catalog.dropGlobalTempView("lazy_view")


def test_is_the_first_to_use_what_a_wider_fixture_caches(spark, lazy):
    before = int(server_side(spark, "persistedInAll"))
    assert spark.table("global_temp.lazy_view").count() == 13
    KEPT["cached"] = before + 1
    assert server_side(spark, "persistedInAll") == str(before + 1)


def test_finds_it_in_memory(spark, lazy):
    assert server_side(spark, "persistedInAll") == str(KEPT["cached"])
    assert is_cached(spark, "global_temp.lazy_view")


def test_makes_more_sessions_and_stops_none(spark):
    other = connect()
    other.range(3).write.saveAsTable("of_the_other")
    other.range(3).createOrReplaceGlobalTempView("of_the_other_view")
    other.range(98).cache().count()
    another = SparkSession.builder.remote(URL).create()
    another.readStream.format("rate").load().writeStream.format("memory").queryName("another").start()
    KEPT["others"] = [other, another]


def test_they_have_ended_with_all_they_made(spark):
    assert [session.is_stopped for session in KEPT["others"]] == [True, True]
    assert "of_the_other" not in tables(spark)
    assert "of_the_other_view" not in global_views(spark)
    assert not spark.range(98).storageLevel.useMemory
    assert server_side(spark, "streams") == "0"


def test_stops_its_own_session(spark):
    spark.range(3).write.saveAsTable("before_the_stop")
    spark.stop()
    assert spark.is_stopped


def test_the_next_one_is_as_all(spark):
    assert "before_the_stop" not in tables(spark)
    assert spark.range(3).count() == 3


def test_the_last_is_removed_first(spark):
    """A stream holds its table; the table is in its database."""
    spark.sql("CREATE DATABASE of_stream")
    spark.sql("CREATE TABLE of_stream.sink (timestamp TIMESTAMP, value LONG) USING parquet")
    stream = spark.readStream.format("rate").load().writeStream
    stream.option("checkpointLocation", os.environ["SCRATCH"]).toTable("of_stream.sink")


def test_that_left_nothing(spark):
    assert "of_stream" not in databases(spark)


def test_what_cannot_be_removed_is_told_and_the_rest_goes(isolation):
    with pytest.raises(PySparkException, match="could not be removed") as told:  # noqa: PT012, SIM117
        with isolation.fresh_session() as session:
            server_side(session, "persistForEver", "stubborn")
            server_side(session, "persist", "meek")
            session.range(3).write.saveAsTable("left_table")
            server_side(session, "setHadoop", "left.setting", "left")
    assert "persisted RDD" in str(told.value)
    assert "stubborn" in str(told.value)
    assert "left_table" not in str(told.value)
    assert session.is_stopped
    with isolation.fresh_session() as session:
        # It is there already, so it is no longer this test's.
        assert server_side(session, "persisted", "stubborn") == "1"
        assert server_side(session, "persisted", "meek") == "0"
        assert "left_table" not in tables(session)
        assert server_side(session, "hadoop", "left.setting") == "null"


def test_an_error_of_the_test_stays_its_own(isolation):
    with pytest.raises(ZeroDivisionError):  # noqa: PT012, SIM117
        with isolation.fresh_session() as session:
            session.range(3).write.saveAsTable("left_table")
            raise ZeroDivisionError
    assert "left_table" not in tables(isolation.shared)


def test_sessions_end_in_the_server_too(isolation):
    """Spark 3.5's has a hundred of them at most, and ends the one that was not used for the longest time."""
    wide = connect()
    wide.range(5).createOrReplaceTempView("mine")
    assert wide.table("mine").count() == 5
    took = []
    for _ in range(101):
        start = time.perf_counter()
        with isolation.fresh_session() as session:
            entered = time.perf_counter()
            session.conf.get("spark.sql.session.timeZone")
            used = time.perf_counter()
        took.append(time.perf_counter() - used + entered - start)
    print(f"fresh_session: {statistics.median(took) * 1000:.1f} ms")
    assert wide.table("mine").count() == 5
    wide.stop()


def test_a_session_tries_calls_anew_as_the_shared_one_does():
    shared = connect()
    client = shared.client
    if hasattr(client, "set_retry_policies"):
        client.set_retry_policies([])
    else:
        client._retry_policy["max_retries"] = 1
    with ConnectIsolation(shared, {}).fresh_session() as session:
        if hasattr(client, "get_retry_policies"):
            assert session.client.get_retry_policies() == []
        else:
            assert session.client._retry_policy["max_retries"] == 1
    shared.stop()


def test_stops_the_shared_session(isolation):
    shared = connect()
    with ConnectIsolation(shared, {}).fresh_session() as session:
        session.range(3).write.saveAsTable("left_table")
        shared.stop()
    assert SparkSession.getActiveSession() is isolation.shared
    assert "left_table" not in tables(isolation.shared)
