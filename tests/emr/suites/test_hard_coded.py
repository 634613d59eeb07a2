"""Jobs whose own code says where a real cluster's Spark, metastore and S3 are; in a step they run here all the same."""

import pytest

GLUE = "com.amazonaws.glue.catalog.metastore.AWSGlueDataCatalogHiveClientFactory"


@pytest.fixture
def run_job(run_step, s3, scratch):
    def run(code, *arguments, **options):
        s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=code.encode())
        return run_step(
            "spark-submit", *options.pop("submit", ()), f"{scratch}/job.py", *arguments, **options
        )

    return run


BUILDER = f"""
import sys
from pyspark.sql import SparkSession
spark = (
    SparkSession.builder.master("yarn").appName("mine")
    .config("hive.metastore.uris", "thrift://metastore.internal:9083")
    .config("hive.metastore.client.factory.class", "{GLUE}")
    .config("spark.hadoop.fs.s3a.endpoint", "https://s3.eu-west-1.amazonaws.com")
    .config("spark.hadoop.fs.s3a.access.key", "AKIAREAL")
    .config("spark.sql.shuffle.partitions", 3)
    .enableHiveSupport()
    .getOrCreate()
)
spark.sql("create table made using parquet as select 42 as answer")
spark.sql("select answer from made").write.parquet(sys.argv[1])
conf = spark.sparkContext.getConf()
print("master:", spark.sparkContext.master, conf.get("spark.master"))
print("name:", conf.get("spark.app.name"), "partitions:", spark.conf.get("spark.sql.shuffle.partitions"))
print("catalog:", spark.conf.get("spark.sql.catalogImplementation"))
"""

CONTEXT = f"""
import sys
from pyspark import SparkConf, SparkContext
conf = SparkConf().setMaster("yarn").setAppName("mine").set("spark.hadoop.hive.metastore.uris", "thrift://m:9083")
conf.set("spark.hadoop.fs.s3a.secret.key", "real").set("spark.hadoop.fs.s3.impl", "com.amazon.ws.emr.hadoop.fs.EmrFileSystem")
conf.set("spark.hadoop.hive.metastore.client.factory.class", "{GLUE}")
sc = SparkContext(conf=conf)
sc.parallelize(range(4)).saveAsTextFile(sys.argv[1])
print("master:", sc.master, sc.getConf().get("spark.master"))
print("name:", sc.appName)
print("uris:", sc.getConf().get("spark.hadoop.hive.metastore.uris", "none"))
"""


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_a_builder(run_job, make_cluster, spark, scratch, mode):
    cluster = make_cluster()
    result = run_job(BUILDER, f"{scratch}/out", cluster=cluster, submit=("--deploy-mode", mode))
    assert [row.answer for row in spark.read.parquet(f"{scratch}/out").collect()] == [42]
    assert "master: local[" in result.stdout
    assert "name: mine partitions: 3" in result.stdout
    assert "catalog: hive" in result.stdout
    # In cluster mode a driver's two outputs are one.
    for key in ("hive.metastore.uris", "hive.metastore.client.factory.class", "spark.hadoop.fs.s3a.endpoint"):
        assert f"{key}: set in the job's code, left out" in result.stdout + result.stderr
    assert "spark.master" not in result.stderr


def test_a_conf(run_job, spark, scratch):
    result = run_job(CONTEXT, f"{scratch}/out")
    assert spark.read.text(f"{scratch}/out").count() == 4
    assert "master: local[" in result.stdout
    assert "name: mine" in result.stdout
    assert "uris: none" in result.stdout


def test_a_local_master_is_the_jobs_own_choice(run_job):
    code = 'from pyspark.sql import SparkSession\nprint(SparkSession.builder.master("local[1]").getOrCreate().sparkContext.master)'
    assert run_job(code).stdout.splitlines()[-1] == "local[1]"


def test_plain_python_in_a_step(run_step, spark, scratch, tmp_path):
    script = tmp_path / "job.py"
    script.write_text(BUILDER)
    result = run_step("bash", "-c", f"cd $TMPDIR && /usr/bin/env python3 {script} {scratch}/out")
    assert "master: local[" in result.stdout
    assert spark.read.parquet(f"{scratch}/out").count() == 1


def test_the_machines_own_sitecustomize_is_run_too(make_cluster, run_step, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('the machine has its own')\nNAME = 'its'\n")
    exported = {"Classification": "export", "Properties": {"PYTHONPATH": str(tmp_path)}}
    cluster = make_cluster(Configurations=[{"Classification": "spark-env", "Configurations": [exported]}])
    code = "import sitecustomize, pyspark.sql; print(sitecustomize.NAME, pyspark.sql.SparkSession.Builder.getOrCreate.__name__)"
    said = run_step("python3", "-c", code, cluster=cluster).stdout.splitlines()
    assert said == ["the machine has its own", "its getOrCreate"]
