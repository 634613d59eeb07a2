"""A run claims the spare that one before it left, and what is in there is nobody's."""

from __future__ import annotations

import json

import pytest

from pytest_isolated_emr.lifecycle.session_directory import read_metadata
from tests.conftest import UNDER_ONE_SPARK
from tests.spares.by_spare import READY, WARM, port_is_free, wait_for_spare

pytestmark = [pytest.mark.spark, UNDER_ONE_SPARK]

FACTS = """
import json, os, sys

def write(**facts):
    with open(os.environ["FACTS"], "w") as file:
        json.dump(facts, file)

def jvm_of(spark):
    return spark._jvm.java.lang.ProcessHandle.current().pid()
"""

USES = '''
import os, sys
import boto3, psutil
from pyspark.sql import functions as F
from pyspark.sql.types import StringType
from facts import jvm_of, write

VARIABLES = ("ONLY_FIRST", "ONLY_SECOND", "BYTES", "CHANGES")

def queries(spark):
    frame = spark.range(20).withColumn("part", F.col("id") % 3)
    joined = frame.join(spark.range(5).withColumnRenamed("id", "part"), "part")
    window = joined.groupBy("part").agg(F.sum("id")).orderBy("part")
    spark.range(3).createOrReplaceTempView("numbers")
    return [window, spark.sql("WITH a AS (SELECT id FROM numbers) SELECT (SELECT max(id) FROM a), * FROM a")]

def plans(spark):
    """What people compare with plans that they have pasted into a test."""
    return [query._jdf.queryExecution().toString() for query in queries(spark)]

def test_uses(spark, spark_session, isolated_emr, scratch, s3):
    told = plans(spark)
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    of_python = F.udf(lambda name: repr(os.environb.get(name.encode())), StringType())
    names = spark.createDataFrame([(name,) for name in VARIABLES], ["name"])
    warehouse = spark.conf.get("spark.sql.warehouse.dir").removeprefix("file:")
    cluster = boto3.client("emr")
    facts = {
        "run_id": isolated_emr.run_id,
        "jvm": jvm_of(spark),
        "began": psutil.Process().create_time(),
        "plans": [plan.replace(isolated_emr.run_id, "RUN") for plan in told],
        "views": [each.name for each in spark.catalog.listTables() if each.name != "numbers"],
        "global views": spark._jsparkSession.sharedState().globalTempViewManager().listViewNames("*").size(),
        "databases": [each.name for each in spark.catalog.listDatabases()],
        "warehouse": os.listdir(warehouse) if os.path.isdir(warehouse) else [],
        "buckets": [each["Name"].replace(isolated_emr.run_id, "RUN") for each in s3.list_buckets()["Buckets"]],
        "objects": [
            each["Key"] for each in s3.list_objects_v2(Bucket=scratch.bucket).get("Contents", [])
        ],
        "data": s3.get_object(Bucket="data", Key="file")["Body"].read().decode(),
        "clusters": cluster.list_clusters()["Clusters"],
        "hadoop": hadoop.get("left.setting"),
        "streams": spark._jsparkSession.sharedState().activeStreamingQueries().size(),
        "cached": spark._jsc.getPersistentRDDs().size(),
        "settings": sorted(
            [key, value.replace(isolated_emr.run_id, "RUN")]
            for key, value in spark.sparkContext.getConf().getAll()
            if not key.startswith(("spark.app.", "spark.driver.port", "spark.hadoop.fs.s3a.", "spark.repl"))
        ),
        "getenv": {name: spark._jvm.System.getenv(name) for name in VARIABLES},
        "workers": {row.name: row.value for row in names.select("name", of_python("name").alias("value")).collect()},
        "names of variables": sorted(spark._jvm.System.getenv().keys()),
    }
    write(**facts)

def test_a_step(run_step):
    step = run_step("bash", "-c", 'echo "first: $ONLY_FIRST, second: $ONLY_SECOND"')
    with open(os.environ["FACTS"] + ".step", "w") as file:
        file.write(step.stdout)

def test_leaves(spark_session, s3):
    spark = spark_session
    spark.sql("CREATE DATABASE left_database")
    spark.range(3).write.saveAsTable("left_table")
    spark.range(3).createOrReplaceTempView("left_view")
    spark.range(3).createOrReplaceGlobalTempView("left_global_view")
    spark.range(3).cache().count()
    spark.sparkContext._jsc.hadoopConfiguration().set("left.setting", "left")
    s3.create_bucket(Bucket="left-bucket")
    s3.put_object(Bucket="left-bucket", Key="left", Body=b"left")
    spark.readStream.format("rate").load().writeStream.format("memory").queryName("left_stream").start()
'''


def test_the_next_run_has_it_and_nothing_of_before(alone):
    suite = alone
    suite.write(FACTS, "facts.py")
    data = suite.project / "data"
    data.mkdir()
    (data / "file").write_text("first")
    with (suite.project / "pytest.ini").open("a") as ini:
        ini.write("pythonpath = .\nisolated_emr_buckets = data = data\n")
    suite.write(USES)
    first = suite.run(WARM, ONLY_FIRST="1", CHANGES="first")
    first.assert_passed(3)
    cold = suite.told()
    assert READY not in first.output
    spare = wait_for_spare(suite.home)
    port = spare.port
    assert spare.run_id != cold["run_id"]
    metadata = read_metadata(spare.directory)
    (data / "file").write_text("second")

    second = suite.run(WARM, ONLY_SECOND="2", CHANGES="second", BYTES="\udcff=x")
    second.assert_passed(3)
    warm = suite.told()
    assert READY in second.output
    assert f"run {spare.run_id}" in second.output
    assert warm["run_id"] == spare.run_id
    # That JVM, and it was there before pytest was.
    assert warm["jvm"] in [each.pid for each in spare.processes]
    assert metadata is not None
    assert metadata.command == []

    assert warm["data"] == "second"
    assert cold["getenv"] | {"CHANGES": "first", "ONLY_FIRST": "1"} == cold["getenv"]
    assert warm["getenv"]["ONLY_FIRST"] is None
    assert (warm["getenv"]["ONLY_SECOND"], warm["getenv"]["CHANGES"]) == ("2", "second")
    assert warm["workers"] == {
        "ONLY_FIRST": "None",
        "ONLY_SECOND": "b'2'",
        "BYTES": repr(b"\xff=x"),
        "CHANGES": "b'second'",
    }
    assert suite.facts.with_suffix(".step").read_text().strip() == "first: , second: 2"
    different = {"ONLY_FIRST", "ONLY_SECOND", "BYTES"}
    assert set(warm["names of variables"]) ^ set(cold["names of variables"]) == different
    assert sorted(warm["buckets"]) == ["data", "isolated-emr-RUN"]
    for name in cold.keys() - {"run_id", "jvm", "began", "data", "getenv", "workers", "names of variables"}:
        assert warm[name] == cold[name], name

    spare.wait_until_gone()
    assert port_is_free(port)
    assert wait_for_spare(suite.home).run_id != spare.run_id


@pytest.mark.thorough
def test_a_failed_tests_report_and_logs_begin_with_its_run(suite):
    spare = suite.spare()
    suite.write(
        "def test_it(spark):\n    spark._jvm.System.err.println('words of the test')\n    assert spark.range(3).count() == 4\n"
    )
    finished = suite.run()
    assert READY in finished.output
    assert finished.code == 1
    kept = spare.directory / "kept" / "logs-main"
    assert f"kept: logs: {kept}" in finished.output, finished.output
    assert "words of the test" in finished.output
    for path in kept.iterdir():
        # The warm-up's table, its paths, and what PySpark warned it of.
        text = path.read_text()
        for word in ("trained", "warm-up", "warm_up", "FutureWarning", "left_view"):
            assert word not in text, path
    # The run is what is asked for, not the spare that has come since.
    wait_for_spare(suite.home)
    shown = json.loads(suite.command("logs", "--json").stdout)
    assert shown["run_id"] == spare.run_id
    (waiting,) = json.loads(suite.command("ps", "--json").stdout)
    assert waiting["state"] == "spare"


CONFTEST = """
def pytest_isolated_emr_spark_conf(config, conf):
    conf["spark.my.setting"] = "{value}"
"""


def told_by_another_jvm(suite, spare):
    """Run the suite's one test, which claims the spare but not its JVM; return what it has written."""
    finished = suite.run()
    finished.assert_passed(1)
    assert READY in finished.output
    told = suite.told()
    assert told["jvm"] not in [each.pid for each in spare.processes]
    return told


def test_what_a_conftest_changes_costs_the_jvm(suite):
    suite.write(CONFTEST.format(value="before"), "conftest.py")
    spare = suite.spare()
    suite.write(FACTS, "facts.py")
    suite.write(CONFTEST.format(value="after"), "conftest.py")
    suite.write(
        "import os, sys\nsys.path.insert(0, os.getcwd())\nfrom facts import jvm_of, write\n"
        "def test_it(spark):\n"
        "    write(value=spark.sparkContext.getConf().get('spark.my.setting'), jvm=jvm_of(spark))\n"
    )
    assert told_by_another_jvm(suite, spare)["value"] == "after"
    spare.wait_until_gone()


def test_a_suites_own_options_of_the_jvm_are_honoured(suite):
    spare = suite.spare()
    suite.write(FACTS, "facts.py")
    suite.write(
        "import os, sys\nsys.path.insert(0, os.getcwd())\nfrom facts import jvm_of, write\n"
        "from pyspark.sql import SparkSession\n"
        "def test_it():\n"
        "    spark = SparkSession.builder.config('spark.driver.memory', '600m').getOrCreate()\n"
        "    memory = spark._jvm.Runtime.getRuntime().maxMemory()\n"
        "    write(memory=memory, jvm=jvm_of(spark))\n"
    )
    assert told_by_another_jvm(suite, spare)["memory"] < 650 << 20
    spare.wait_until_gone()


@pytest.mark.thorough
def test_each_workers_jvm_was_started_ahead(alone):
    suite = alone
    suite.write(FACTS, "facts.py")
    suite.write(
        "import os, sys, pytest\nsys.path.insert(0, os.getcwd())\nfrom facts import jvm_of\n"
        "@pytest.mark.parametrize('number', range(4))\n"
        "def test_it(spark, number):\n"
        "    open(os.environ['FACTS'] + os.environ['PYTEST_XDIST_WORKER'], 'w').write(str(jvm_of(spark)))\n"
        "    assert spark.range(number).count() == number\n"
    )
    suite.run(WARM, "-n", "2").assert_passed(4)
    spare = wait_for_spare(suite.home)
    finished = suite.run(WARM, "-n", "2")
    finished.assert_passed(4)
    assert READY in finished.output
    jvms = {int(path.read_text()) for path in suite.facts.parent.glob("factsgw*")}
    assert len(jvms) == 2
    assert jvms <= {each.pid for each in spare.processes}
    spare.wait_until_gone()


@pytest.mark.thorough
def test_a_log_of_events_has_the_runs_alone(alone):
    """What a spare does as it warms up is no event of anybody's."""
    events = alone.project / "events"
    events.mkdir()
    conf = alone.project / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text(
        f"spark.eventLog.enabled true\nspark.eventLog.dir {events.as_uri()}\nspark.eventLog.rolling.enabled false\n"
        "spark.eventLog.compress false\n"
    )
    alone.write("def test_it(spark):\n    assert spark.range(3).count() == 3\n")
    alone.run(WARM, SPARK_CONF_DIR=str(conf)).assert_passed(1)
    wait_for_spare(alone.home)
    of_first = sorted(events.iterdir())
    assert len(of_first) == 1
    finished = alone.run(WARM, SPARK_CONF_DIR=str(conf))
    finished.assert_passed(1)
    assert READY in finished.output
    (of_second,) = set(events.iterdir()) - set(of_first)
    jobs = [line for line in of_second.read_text().splitlines() if '"SparkListenerJobStart"' in line]
    assert 1 <= len(jobs) <= 2, jobs
