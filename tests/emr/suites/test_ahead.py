"""A step whose JVM was started before it sees and says what one does whose JVM was started for it."""

import contextlib
import json
import re
import signal
import time

import psutil
import pytest

SUBMIT_AHEAD = "isolatedemr.SubmitAhead"
LOOKS = """
import json, os, sys
import psutil
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("looks").getOrCreate()
jvm = spark._jvm
spark.range(9).selectExpr("id % 2 AS k").groupBy("k").count().explain()
hadoop = spark._jsc.hadoopConfiguration()
util = jvm.org.apache.spark.deploy.SparkHadoopUtil.get().conf()
def each(conf):
    found = conf.iterator()
    while found.hasNext():
        yield found.next().toString()
entries = [*each(hadoop), *each(util)]
print(json.dumps({
    "started as": [part for part in psutil.Process(os.getppid()).cmdline() if part.startswith(("org.", "isolatedemr."))],
    "arguments": sys.argv,
    "directory": os.getcwd(),
    "absolute": jvm.java.io.File("x").getAbsolutePath(),
    "files": sorted(os.listdir(".")),
    "environment": dict(os.environ),
    "environment of the JVM": dict(jvm.System.getenv()),
    "environment of its process": psutil.Process(os.getppid()).environ(),
    "options of the JVM": list(jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments()),
    "properties": dict(jvm.System.getProperties()),
    "settings": dict(spark.sparkContext.getConf().getAll()),
    "Hadoop's settings": sorted(entries),
    "warehouse": spark.conf.get("spark.sql.warehouse.dir"),
    "tables": [table.name for table in spark.catalog.listTables()],
    "input": getattr(jvm.System, "in").read(),
    "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("pandas", "numpy", "pyarrow")),
}))
spark.range(3).write.mode("overwrite").parquet("hdfs:///numbers")
print(spark.read.parquet("hdfs:///numbers").count())
spark.stop()
"""
#: What differs from one step to the next, however it is started.
VARYING = re.compile(
    r"s-[0-9A-Z]{10,}|application_\d+_\d+|container_\d+_\d+_\d+_\d+|local-\d+|blockmgr-[-0-9a-f]+|spark-[-0-9a-f]{30,}"
    r"|\d\d/\d\d/\d\d \d\d:\d\d:\d\d|:\d{4,5}\b|port \d+|\d+(\.\d+)? ?(ms|s|GiB|MiB|KiB|B)\b|@[0-9a-f]+|[0-9a-f]{32,}|[-0-9a-f]{36}"
)
VARYING_NAMES = (
    *("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"),
    *("spark.app.startTime", "spark.app.submitTime", "spark.driver.port", "spark.app.id"),
)


def without_what_varies(value):
    if isinstance(value, dict):
        return {key: without_what_varies(each) for key, each in value.items() if key not in VARYING_NAMES}
    if isinstance(value, list):
        return [without_what_varies(each) for each in value]
    return VARYING.sub("…", value) if isinstance(value, str) else value


def lines_of(text):
    """Return what a log says, but for Spark's own progress."""
    return [without_what_varies(line) for line in text.splitlines() if " INFO " not in line]


def put(s3, scratch, name, text):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/{name}", Body=text.encode())
    return f"{scratch}/{name}"


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_a_step_sees_the_same(make_cluster, run_step, s3, scratch, mode):
    cluster = make_cluster()
    job = put(s3, scratch, "looks.py", LOOKS)
    submit = (
        "spark-submit",
        "--deploy-mode",
        mode,
        "--conf",
        "spark.executor.memory=2g",
        job,
        "an argument",
        "",
    )
    told, logs = [], []
    for _ in range(3):
        step = run_step(*submit, cluster=cluster)
        where = step.log
        if mode == "cluster":
            application = re.search(r"application_\d+_\d+", (step.log / "stderr").read_text())[0]
            (where,) = (step.log.parents[1] / "containers" / application).iterdir()
        told.append(
            json.loads(next(line for line in (where / "stdout").read_text().splitlines() if line[:1] == "{"))
        )
        logs.append(lines_of((where / "stderr").read_text()))
    for each in told:
        command = each["properties"]["sun.java.command"]
        # As long as there is no archive of classes.
        each["properties"]["sun.java.command"] = command.removeprefix("isolatedemr.PreloadedMain ")
    started = [each.pop("started as") for each in told]
    assert [SUBMIT_AHEAD in each for each in started] == [False, True, True]
    first, second, third = map(without_what_varies, told)
    assert [name for name in first if second[name] != first[name] or third[name] != first[name]] == []
    assert sorted(logs[1]) == sorted(logs[2]) == sorted(logs[0])


def ahead_of(cluster):
    """Return the JVM that waits for a cluster's next step, once it is there."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for process in psutil.process_iter():
            # Others end meanwhile, or are none of ours to look at.
            with contextlib.suppress(psutil.Error):
                if SUBMIT_AHEAD in process.cmdline() and process.environ().get("EMR_CLUSTER_ID") == cluster:
                    return process
        time.sleep(0.02)
    raise AssertionError("no JVM was started ahead")


def test_a_step_does_without_one_that_was_ended_or_stopped(make_cluster, run_step, s3, scratch):
    cluster = make_cluster()
    job = put(s3, scratch, "job.py", "import os, psutil\nprint(psutil.Process(os.getppid()).cmdline())\n")
    run_step("spark-submit", job, cluster=cluster)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        ahead = ahead_of(cluster)
        ahead.send_signal(number)
        assert SUBMIT_AHEAD not in run_step("spark-submit", job, cluster=cluster).stdout
        ahead.wait(60)


def test_a_step_that_is_submitted_in_another_way_gets_its_own(make_cluster, run_step, s3, scratch):
    cluster = make_cluster()
    job = put(s3, scratch, "job.py", "import os, psutil\nprint(psutil.Process(os.getppid()).cmdline())\n")
    run_step("spark-submit", job, cluster=cluster)
    ahead = ahead_of(cluster)
    step = run_step("spark-submit", "--conf", "spark.driver.memory=700m", job, cluster=cluster)
    assert SUBMIT_AHEAD not in step.stdout
    assert "-Xmx700m" in step.stdout
    ahead.wait(60)
    ahead = ahead_of(cluster)
    run_step("bash", "-c", "true", cluster=cluster)
    ahead.wait(60)
