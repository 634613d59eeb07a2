"""Spark between tests where it is reached by Spark Connect: in a container, and on a cluster."""

from __future__ import annotations

import pytest

from tests.backends import BACKENDS, WITH_SPARK

pytestmark = pytest.mark.spark

# Each pair: a test that leaves something, and one that would see it.
LEFTOVERS = '''
import os
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import IntegerType

@pytest.fixture(scope="module")
def wider(spark_session):
    """What a wider fixture made stays."""
    spark_session.range(7).write.saveAsTable("wide")
    frame = spark_session.range(11).cache()
    frame.count()
    return frame

def test_leaves_things(spark, wider):
    spark.sql("CREATE DATABASE left_database")
    spark.range(3).write.saveAsTable("left_table")
    spark.range(3).write.saveAsTable("left_database.t")
    spark.range(3).createOrReplaceTempView("left_view")
    spark.range(3).createOrReplaceGlobalTempView("left_global_view")
    spark.sql("USE left_database")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    spark.udf.register("left_udf", lambda x: x + 1, IntegerType())
    spark.range(99).cache().count()
    spark.readStream.format("rate").load().writeStream.format("memory").queryName("left_stream").start()
    assert spark.streams.active
    SparkSession.builder.getOrCreate().conf.set("left.setting", "left")

def test_sees_none_of_them(spark, wider):
    assert [table.name for table in spark.catalog.listTables()] == ["wide"]
    assert [database.name for database in spark.catalog.listDatabases()] == ["default"]
    assert spark.catalog.currentDatabase() == "default"
    assert spark.catalog.listTables("global_temp") in ([], spark.catalog.listTables())
    assert spark.conf.get("spark.sql.session.timeZone") != "Asia/Tokyo"
    assert spark.conf.get("left.setting", "none") == "none"
    assert not [function for function in spark.catalog.listFunctions() if function.name == "left_udf"]
    assert not spark.streams.active
    assert wider.storageLevel.useMemory
    assert spark.table("wide").count() == 7
    spark.range(1).write.saveAsTable("left_table")

def test_a_job_under_test_gets_the_tests_session(spark):
    spark.range(5).createOrReplaceTempView("numbers")
    def job():
        return SparkSession.builder.master("yarn").appName("job").config("spark.executor.memory", "9g").getOrCreate()
    assert job() is spark
    assert SparkSession.getActiveSession() is spark
    assert job().table("numbers").count() == 5
    assert job().range(5).count() == 5

def test_a_job_may_stop_its_session(spark):
    SparkSession.builder.getOrCreate().stop()
    assert SparkSession.builder.getOrCreate().range(2).count() == 2

def test_the_next_test_has_one(spark):
    assert spark.range(2).count() == 2

@pytest.mark.isolated_emr(conf={"spark.sql.shuffle.partitions": 17})
def test_a_marker_sets_a_session_setting(spark):
    assert spark.conf.get("spark.sql.shuffle.partitions") == "17"
    os.environ["FIRST_SERVER"] = os.environ["SPARK_REMOTE"]

def test_it_needed_no_other_server(spark):
    assert spark.conf.get("spark.sql.shuffle.partitions") != "17"
    assert os.environ["FIRST_SERVER"] == os.environ["SPARK_REMOTE"]

@pytest.mark.isolated_emr(conf={"spark.sql.catalogImplementation": "hive", "spark.my.setting": True})
def test_a_marker_sets_what_needs_another_server(spark):
    assert os.environ["FIRST_SERVER"] != os.environ["SPARK_REMOTE"]
    assert spark.conf.get("spark.sql.catalogImplementation") == "hive"
    assert spark.conf.get("spark.my.setting") == "true"
    spark.sql("CREATE TABLE hive_table (x INT) STORED AS PARQUET")
    spark.sql("INSERT INTO hive_table VALUES (1)")
    assert spark.table("hive_table").count() == 1

def test_the_next_test_has_the_usual_one(spark):
    assert spark.conf.get("spark.sql.catalogImplementation") == "in-memory"
    assert spark.conf.get("spark.my.setting", "none") == "none"

def test_dynamic_and_static_overwrite_and_append(spark, scratch):
    """What the committer has to get right, on S3 and on the disk."""
    def rows(path):
        return sorted((row.id, row.part) for row in spark.read.parquet(path).collect())
    for path in ((scratch / "s3").uri, str(scratch.path / "disk")):
        frame = spark.createDataFrame([(1, "a"), (2, "b")], "id INT, part STRING")
        frame.write.partitionBy("part").parquet(path)
        frame.write.partitionBy("part").mode("append").parquet(path)
        assert len(rows(path)) == 4
        new = spark.createDataFrame([(3, "b")], "id INT, part STRING")
        new.write.partitionBy("part").mode("overwrite").option("partitionOverwriteMode", "dynamic").parquet(path)
        assert rows(path) == [(1, "a"), (1, "a"), (3, "b")]
        new.write.partitionBy("part").mode("overwrite").parquet(path)
        assert rows(path) == [(3, "b")]

@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n"])
def test_every_scheme_is_the_private_s3(spark, s3, scratch, scheme):
    uri = (scratch / scheme).uri.replace("s3://", scheme + "://")
    spark.range(4).write.csv(uri)
    found = s3.list_objects_v2(Bucket=scratch.bucket, Prefix=f"{scratch.prefix}/{scheme}/")
    assert any(item["Key"].endswith(".csv") for item in found["Contents"])
    assert spark.read.csv(uri).count() == 4
'''


@pytest.mark.parametrize(
    "backend",
    [
        # The same server as in a container.
        pytest.param(name, marks=pytest.mark.thorough) if name == "emr" else name
        for name in WITH_SPARK
        if name != "local"
    ],
)
def test_what_a_test_leaves_the_next_does_not_see(project, run_pytest, backend):
    (project / "test_it.py").write_text(LEFTOVERS)
    # pytest-spark's own spark_session is another one.
    run_pytest(*BACKENDS[backend], "-p", "no:spark").assert_passed(13)
