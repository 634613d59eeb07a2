"""Configurations of a cluster, as common requests have them, take effect on its steps, or do no harm."""

import re

import pytest

GLUE = "com.amazonaws.glue.catalog.metastore.AWSGlueDataCatalogHiveClientFactory"


def exported(classification, **variables):
    nested = {"Classification": "export", "Properties": variables, "Configurations": []}
    return {"Classification": classification, "Properties": {}, "Configurations": [nested]}


OPTIONS = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(3).write.parquet(__import__("sys").argv[1])
print("class path:", spark._jvm.System.getProperty("java.class.path"))
print("mine:", spark._jvm.System.getProperty("mine"))
"""


def test_options_of_the_driver_are_joined_with_the_sessions(run_step, s3, scratch):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=OPTIONS.encode())
    result = run_step(
        *("spark-submit", "--verbose", "--driver-java-options", "-XX:+UseParallelGC -Dmine=1"),
        *(
            "--driver-class-path",
            "/opt/mine.jar",
            "--conf",
            "spark.executorEnv.JAVA_HOME=/opt/corretto",
        ),
        *(f"{scratch}/job.py", f"{scratch}/out"),
    )
    assert "/opt/mine.jar" in result.stdout
    assert "mine: 1" in result.stdout
    assert "JAVA_HOME: left out" in result.stderr


def said_by(result):
    return (result.log / "controller").read_text()


def test_variables_of_spark_env(make_cluster, run_step):
    cluster = make_cluster(
        Configurations=[
            exported(
                "spark-env",
                MINE="from spark-env",
                PYSPARK_PYTHON="/usr/bin/python3",
                SPARK_HOME="/usr/lib/spark",
            ),
            exported("yarn-env", ARROW_PRE_0_15_IPC_FORMAT="1"),
        ]
    )
    result = run_step(
        "bash",
        "-c",
        "echo $MINE; echo $ARROW_PRE_0_15_IPC_FORMAT; ls $SPARK_HOME/jars | wc -l",
        cluster=cluster,
    )
    mine, arrow, jars = result.stdout.splitlines()
    assert (mine, arrow) == ("from spark-env", "1")
    assert int(jars) > 100
    assert "SPARK_HOME: left out" in said_by(result)
    code = "import os, pyspark; print(os.environ['MINE'], os.environ['PYSPARK_PYTHON'] != '/usr/bin/python3')"
    assert run_step("python3", "-c", code, cluster=cluster).stdout == "from spark-env True\n"


LOGGING = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
log = spark._jvm.org.apache.logging.log4j.LogManager.getLogger("com.example.Mine")
log.info("an info of mine")
log.warn("a warning of mine")
"""


@pytest.fixture
def logging_job(s3, scratch):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=LOGGING.encode())
    return f"{scratch}/job.py"


def test_spark_log4j2(make_cluster, run_step, logging_job):
    lines = {
        "logger.mine.name": "com.example",
        "logger.mine.level": "warn",
        "appender.console.layout.pattern": "MINE %p %m%n",
        # Of Log4j 1, as many requests still have it.
        "log4j.rootCategory": "DEBUG, console",
    }
    configured = make_cluster(Configurations=[{"Classification": "spark-log4j2", "Properties": lines}])
    result = run_step("spark-submit", logging_job, cluster=configured)
    assert "MINE WARN a warning of mine" in result.stderr
    assert "an info of mine" not in result.stderr
    assert "log4j.rootCategory: of EMR's instances, without effect here" in said_by(result)
    # The rest is as Spark has it.
    assert "MINE INFO Running Spark version" in re.sub("SparkContext: ", "", result.stderr)


def test_lines_for_the_log4j_of_old_releases_do_no_harm(make_cluster, run_step, logging_job):
    lines = {"log4j.rootCategory": "WARN, console"}
    configured = make_cluster(Configurations=[{"Classification": "spark-log4j", "Properties": lines}])
    result = run_step("spark-submit", logging_job, cluster=configured)
    assert "a warning of mine" in result.stderr
    assert "spark-log4j: of EMR's instances, without effect here" in said_by(result)


JOB = """
import os, sys
from pyspark.sql import SparkSession
print("told", os.environ.get("MINE"))
spark = SparkSession.builder.enableHiveSupport().getOrCreate()
spark.range(3).write.mode("overwrite").saveAsTable("kept")
spark.table("kept").rdd.map(lambda row: (row.id, sys.executable)).toDF(["id", "python"]).write.json(sys.argv[1])
for key in ("spark.sql.catalogImplementation", "spark.my.setting", "spark.sql.adaptive.enabled"):
    print(key, spark.conf.get(key, "none"))
hadoop = spark.sparkContext._jsc.hadoopConfiguration()
print("hadoop", hadoop.get("fs.s3.consistent"), hadoop.get("my.core.setting"))
"""


def test_what_common_requests_carry(make_cluster, run_step, s3, scratch, spark):
    """The Configurations of awswrangler's create_cluster, of Airflow's and Amazon's examples, together."""
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=JOB.encode())
    glue = {"hive.metastore.client.factory.class": GLUE}
    registries = {"docker.trusted.registries": "local,centos"}
    defaults = {
        "spark.my.setting": "mine",
        "spark.sql.adaptive.enabled": "false",
        "spark.pyspark.python": "/usr/bin/python3",
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": "/usr/bin/python3",
        "spark.yarn.appMasterEnv.MINE": "of YARN",
        "spark.executorEnv.PYSPARK_PYTHON": "/usr/bin/python3",
        "spark.dynamicAllocation.enabled": "false",
        "spark.executor.memory": "18G",
        "spark.executor.instances": "4",
        "spark.yarn.maxAppAttempts": "1",
        "spark.driver.extraClassPath": "/usr/lib/hadoop-lzo/lib/*:/usr/share/aws/emr/emrfs/lib/*",
        "spark.jars": "/usr/share/aws/redshift/jdbc/RedshiftJDBC.jar",
        "spark.hadoop.io.compression.codecs": (
            "org.apache.hadoop.io.compress.GzipCodec,com.hadoop.compression.lzo.LzoCodec"
        ),
        "spark.hadoop.fs.s3.impl": "com.amazon.ws.emr.hadoop.fs.EmrFileSystem",
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
        "spark.sql.parquet.output.committer.class": "com.amazon.emr.committer.EmrOptimizedSparkSqlParquetOutputCommitter",
    }
    cluster = make_cluster(
        Configurations=[
            {"Classification": "spark", "Properties": {"maximizeResourceAllocation": "true"}},
            {"Classification": "spark-defaults", "Properties": defaults},
            {"Classification": "spark-hive-site", "Properties": glue},
            {"Classification": "hive-site", "Properties": glue},
            {
                "Classification": "presto-connector-hive",
                "Properties": {"hive.metastore.glue.datacatalog.enabled": "true"},
            },
            {
                "Classification": "emrfs-site",
                "Properties": {"fs.s3.consistent": "true", "fs.s3.consistent.retryCount": "5"},
            },
            {"Classification": "core-site", "Properties": {"my.core.setting": "core"}},
            {"Classification": "yarn-site", "Properties": {"yarn.nodemanager.vmem-check-enabled": "false"}},
            {"Classification": "livy-conf", "Properties": {"livy.server.session.timeout": "2h"}},
            {
                "Classification": "container-executor",
                "Configurations": [{"Classification": "docker", "Properties": registries}],
            },
            {"Classification": "delta-defaults", "Properties": {"delta.enabled": "false"}},
            exported("spark-env", PYSPARK_PYTHON="/usr/bin/python3"),
            exported("livy-env", ARROW_PRE_0_15_IPC_FORMAT="1"),
        ]
    )
    result = run_step(
        "spark-submit", "--deploy-mode", "cluster", f"{scratch}/job.py", f"{scratch}/out", cluster=cluster
    )
    for line in (
        "spark.sql.catalogImplementation hive",
        "spark.my.setting mine",
        "spark.sql.adaptive.enabled false",
        "hadoop true core",
        "told of YARN",
    ):
        assert line in result.stdout.splitlines()
    pythons = {row.python for row in spark.read.json(f"{scratch}/out").collect()}
    assert len(pythons) == 1
    assert pythons != {"/usr/bin/python3"}
    said = said_by(result)
    assert "spark.hadoop.io.compression.codecs in part: of EMR's instances" in said
    assert "spark.hadoop.hive.metastore.client.factory.class: left out" in said
    for name in (
        "presto-connector-hive",
        "livy-conf",
        "container-executor",
        "delta-defaults",
        "livy-env",
        "spark.jars",
    ):
        assert f"{name}: of EMR's instances, without effect here" in said


def test_what_command_lines_carry(run_step, s3, scratch):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=LOGGING.encode())
    result = run_step(
        *(
            "/usr/lib/spark/bin/spark-submit",
            "--master",
            "yarn",
            "--deploy-mode",
            "client",
            "--queue",
            "default",
        ),
        *("--jars", "/usr/lib/hudi/hudi-spark-bundle.jar", "--num-executors", "4", "--executor-memory", "8G"),
        *(
            "--conf",
            "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3=com.amazon.emr.committer.Factory",
        ),
        *("--conf", "spark.pyspark.python=/usr/bin/python3", "--conf", "spark.executorEnv.MINE=x"),
        f"{scratch}/job.py",
    )
    assert "--jars: only EMR's instances have /usr/lib/hudi/hudi-spark-bundle.jar" in result.stderr
    assert "only EMR's instances have com.amazon.emr.committer.Factory" in result.stderr
    assert "spark.pyspark.python" not in result.stderr
