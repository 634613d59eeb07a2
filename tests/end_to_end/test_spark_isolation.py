"""Spark between tests: what one leaves, the next does not see; what a marker asks for; a JVM that dies."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import TIMEOUT, UNDER_ONE_SPARK

pytestmark = pytest.mark.spark

# Each pair: a test that leaves something, and one that would see it.
LEFTOVERS = '''
import os, time
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import IntegerType

@pytest.fixture(scope="module")
def wider(spark_session):
    """What a wider fixture made stays."""
    spark_session.range(7).write.saveAsTable("wide")
    spark_session.sparkContext._jsc.hadoopConfiguration().set("set.by.wider", "wide")
    frame = spark_session.range(11).cache()
    frame.count()
    return frame

def test_leaves_things(spark, wider, scratch):
    spark.sql("CREATE DATABASE left_database")
    spark.range(3).write.saveAsTable("left_table")
    spark.range(3).write.saveAsTable("left_database.t")
    spark.range(3).createOrReplaceTempView("left_view")
    spark.range(3).createOrReplaceGlobalTempView("left_global_view")
    spark.sql("CREATE VIEW left_stored_view AS SELECT 1 AS one")
    spark.sql("USE left_database")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    spark.udf.register("left_udf", lambda x: x + 1, IntegerType())
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    hadoop.set("left.setting", "left")
    hadoop.set("io.file.buffer.size", "12345")
    hadoop.unset("hadoop.tmp.dir")
    spark.sparkContext.setLocalProperty("left.property", "left")
    left = spark.range(99).cache()
    left.count()
    spark.sparkContext.parallelize([1, 2]).cache().count()
    spark.readStream.format("rate").load().writeStream.format("memory").queryName("left_stream").start()
    assert spark.streams.active

def test_sees_none_of_them(spark, wider):
    assert [table.name for table in spark.catalog.listTables()] == ["wide"]
    assert [database.name for database in spark.catalog.listDatabases()] == ["default"]
    assert spark.catalog.currentDatabase() == "default"
    assert not spark.catalog.listTables("global_temp") or [
        table.name for table in spark.catalog.listTables("global_temp")] == ["wide"]
    assert spark.conf.get("spark.sql.session.timeZone") != "Asia/Tokyo"
    assert not [function for function in spark.catalog.listFunctions() if function.name == "left_udf"]
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    assert hadoop.get("left.setting") is None
    assert hadoop.get("io.file.buffer.size") == "65536"
    assert hadoop.get("hadoop.tmp.dir") is not None
    assert hadoop.get("set.by.wider") == "wide"
    assert spark.sparkContext.getLocalProperty("left.property") is None
    assert spark._jsparkSession.sharedState().activeStreamingQueries().isEmpty()
    # The one of the wider fixture.
    assert len(spark._jsc.getPersistentRDDs()) == 1
    assert wider.storageLevel.useMemory
    assert spark.table("wide").count() == 7
    # The same name can be used again: the files are gone as well.
    spark.range(1).write.saveAsTable("left_table")

def test_a_job_under_test_gets_the_tests_session(spark):
    spark.range(5).createOrReplaceTempView("numbers")
    def job():
        return SparkSession.builder.appName("job").config("spark.sql.ansi.enabled", "true").getOrCreate()
    assert job() is spark
    assert SparkSession.getActiveSession()._jsparkSession.equals(spark._jsparkSession)
    assert job().table("numbers").count() == 5

def test_a_directory_of_the_users_outlives_its_database(spark, tmp_path):
    (tmp_path / "precious").write_text("mine")
    spark.sql(f"CREATE DATABASE risky LOCATION '{tmp_path}'")
    os.environ["PRECIOUS"] = str(tmp_path / "precious")

def test_that_directory_is_there(spark):
    assert open(os.environ["PRECIOUS"]).read() == "mine"
    assert "risky" not in [database.name for database in spark.catalog.listDatabases()]

@pytest.mark.isolated_emr(conf={"spark.sql.shuffle.partitions": 17})
def test_a_marker_sets_a_session_setting(spark):
    assert spark.conf.get("spark.sql.shuffle.partitions") == "17"
    test_a_marker_sets_a_session_setting.application = spark.sparkContext.applicationId

def test_it_needed_no_other_context(spark):
    assert spark.conf.get("spark.sql.shuffle.partitions") == "1"
    assert spark.sparkContext.applicationId == test_a_marker_sets_a_session_setting.application

@pytest.mark.isolated_emr(conf={"spark.sql.catalogImplementation": "hive", "spark.my.setting": True})
def test_a_marker_sets_a_context_setting(spark):
    assert spark.conf.get("spark.sql.catalogImplementation") == "hive"
    assert spark.sparkContext.getConf().get("spark.my.setting") == "true"
    spark.sql("CREATE TABLE hive_table (x INT) STORED AS PARQUET")
    spark.sql("INSERT INTO hive_table VALUES (1)")
    assert spark.table("hive_table").count() == 1

def test_the_next_test_has_the_usual_context(spark):
    assert spark.conf.get("spark.sql.catalogImplementation") == "in-memory"
    assert spark.sparkContext.getConf().get("spark.my.setting", None) is None
    assert "hive_table" not in [table.name for table in spark.catalog.listTables()]

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


def test_what_a_test_leaves_the_next_does_not_see(project, run_pytest):
    (project / "test_it.py").write_text(LEFTOVERS)
    # pytest-spark's own spark_session would turn Hive on for all.
    run_pytest("--isolated-emr", "-p", "no:spark").assert_passed(13)


DEATH = '''
import os
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
from pyspark.sql.types import LongType

@udf(LongType())
def plus_one(x):
    return x + 1

@pytest.fixture(scope="session")
def own_session():
    """As suites have it that were written without us."""
    return SparkSession.builder.appName("own").getOrCreate()

def pids(session):
    return session._jvm.java.lang.ProcessHandle.current().pid()

def test_uses_it(own_session):
    os.environ["FIRST"] = str(pids(own_session))
    assert own_session.range(2).select(plus_one("id")).collect()[1][0] == 2

def test_kills_the_jvm(own_session):
    own_session._jvm.System.err.println("last words")
    own_session._jvm.System.exit(3)

def test_gets_a_new_one(own_session):
    assert str(pids(own_session)) != os.environ["FIRST"]
    assert own_session.range(2).select(plus_one("id")).collect()[1][0] == 2
    os.environ["SECOND"] = str(pids(own_session))

@pytest.mark.isolated_emr(conf={"spark.driver.memory": "700m", "spark.driver.extraJavaOptions": "-Dmine=yes"})
def test_has_options_of_the_jvms_start(spark):
    assert str(pids(spark)) != os.environ["SECOND"]
    assert spark._jvm.System.getProperty("mine") == "yes"
    assert spark._jvm.Runtime.getRuntime().maxMemory() < 750 * 2**20

def test_a_suites_own_options_are_honoured(own_session):
    assert own_session._jvm.System.getProperty("mine") is None
    own_session.stop()
    session = SparkSession.builder.config("spark.driver.memory", "600m").getOrCreate()
    assert session._jvm.Runtime.getRuntime().maxMemory() < 650 * 2**20
    first = pids(session)
    session.stop()
    # The JVM is there already, and nothing asks for another one.
    session = SparkSession.builder.appName("next").getOrCreate()
    assert pids(session) == first
    session.stop()
'''


def test_a_jvm_that_dies_fails_its_test_and_the_next_gets_a_new_one(project, run_pytest):
    (project / "test_it.py").write_text(DEATH)
    finished = run_pytest("--isolated-emr", "-p", "no:spark")
    assert finished.code == 1
    assert "1 failed, 4 passed" in finished.output, finished.output
    assert "FAILED test_it.py::test_kills_the_jvm" in finished.output
    for words in ("IE205", "exit code 3", "last words"):
        assert words in finished.output


EARLY_DEATH = """
from pyspark import SparkContext

def test_kills_the_jvm():
    SparkContext._ensure_initialized()
    SparkContext._jvm.System.exit(3)

def test_fails_for_itself():
    assert not "mine"

def test_gets_a_new_one(spark):
    assert spark.range(2).count() == 2
"""


def test_a_jvm_that_dies_before_the_first_session_is_said_to_have(project, run_pytest):
    (project / "test_it.py").write_text(EARLY_DEATH)
    finished = run_pytest("--isolated-emr", "-p", "no:spark")
    assert "2 failed, 1 passed" in finished.output, finished.output
    assert finished.output.count("IE205: Spark ended in this test: exit code 3") == 1, finished.output


OUTWARD = """
from pyspark.sql import SparkSession

def test_it(scratch, isolated_emr):
    session = (
        SparkSession.builder.master("yarn")
        .config("spark.hadoop.fs.s3a.endpoint", "https://s3.eu-west-1.amazonaws.com")
        .config("spark.hadoop.fs.s3a.access.key", "AKIAREAL")
        .config("spark.submit.deployMode", "cluster")
        .config("hive.metastore.uris", "thrift://metastore:9083")
        .getOrCreate()
    )
    assert session.sparkContext.master.startswith("local[")
    session._jsc.hadoopConfiguration().set("fs.s3a.endpoint", "http://127.0.0.1:1")
    session._jsc.hadoopConfiguration().set("fs.s3a.secret.key", "real")
    session.range(3).write.parquet(scratch.uri)
    assert session.read.parquet(scratch.uri).count() == 3
    found = isolated_emr.client("s3").list_objects_v2(Bucket=scratch.bucket, Prefix=scratch.prefix)
    assert found["KeyCount"] > 0
"""


def test_hard_coded_settings_do_not_lead_out_and_the_summary_says_so(project, run_pytest):
    (project / "test_it.py").write_text(OUTWARD)
    finished = run_pytest("--isolated-emr")
    finished.assert_passed(1)
    for key in ("spark.master", "fs.s3a.endpoint", "fs.s3a.access.key", "hive.metastore.uris"):
        assert f"{key}: set by the suite, left out" in finished.output, finished.output
    assert "AKIAREAL" not in finished.output


def test_a_conf_of_the_running_jvm_is_no_wish_of_the_suites(project, run_pytest):
    # As pytest-spark makes it.
    (project / "test_it.py").write_text(
        """
from pyspark import SparkConf
from pyspark.sql import SparkSession

def test_it(spark):
    SparkSession.builder.config(conf=SparkConf()).getOrCreate()
"""
    )
    finished = run_pytest("--isolated-emr")
    finished.assert_passed(1)
    assert "left out" not in finished.output
    assert "ignored by" not in finished.output


@UNDER_ONE_SPARK
def test_pdb_works(project, start_pytest):
    (project / "test_it.py").write_text("def test_it(spark):\n    assert spark.range(3).count() == 4\n")
    process = start_pytest("--isolated-emr", "--pdb", stdin=subprocess.PIPE)
    output, _ = process.communicate("p spark.range(5).count() + 1000\nq\n", timeout=TIMEOUT)
    assert "(Pdb)" in output, output
    assert "1005" in output, output


@UNDER_ONE_SPARK
def test_a_conftest_that_replaces_what_belongs_together(project, run_pytest):
    (project / "conftest.py").write_text(
        "def pytest_isolated_emr_spark_conf(config, conf):\n"
        "    conf['spark.driver.extraClassPath'] = '/nowhere/*'\n"
        "    conf['spark.driver.defaultJavaOptions'] = '-Dmine=1'\n"
    )
    (project / "test_it.py").write_text(
        "def test_it(spark, scratch):\n"
        "    spark.range(3).write.parquet(scratch.uri)\n"
        "    assert spark._jvm.System.getProperty('mine') == '1'\n"
    )
    run_pytest("--isolated-emr").assert_passed(1)


OWN_CHOICES = """
def test_they_are_the_suites(spark):
    assert spark.conf.get("spark.sql.shuffle.partitions") == "7"
    assert spark.sparkContext.uiWebUrl is not None
    beans = spark._jvm.java.lang.management.ManagementFactory
    options = list(beans.getRuntimeMXBean().getInputArguments())
    assert [each for each in options if "TieredStopAtLevel" in each] == ["-XX:TieredStopAtLevel=4"]
    assert [bean.getName() for bean in beans.getGarbageCollectorMXBeans()][0].startswith("PS ")
    assert 600 * 2**20 < spark._jvm.Runtime.getRuntime().maxMemory() < 800 * 2**20
"""


@UNDER_ONE_SPARK
def test_choices_of_the_suites_own_win_over_what_suits_short_runs(project, run_pytest):
    (project / "conftest.py").write_text(
        "def pytest_isolated_emr_spark_conf(conf):\n"
        "    conf['spark.sql.shuffle.partitions'] = '7'\n"
        "    conf['spark.ui.enabled'] = 'true'\n"
        "    conf['spark.driver.extraJavaOptions'] = '-XX:TieredStopAtLevel=4 -XX:+UseParallelGC'\n"
    )
    (project / "test_it.py").write_text(OWN_CHOICES)
    run_pytest("--isolated-emr", "-p", "no:spark", SPARK_DRIVER_MEMORY="800m").assert_passed(1)
