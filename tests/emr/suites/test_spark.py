"""Steps that run Spark, on a cluster of the session's."""

import io
import zipfile

import pytest

JOB = """
import os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("job").getOrCreate()
source, target = sys.argv[1:3]
spark.read.csv(source, header=True, inferSchema=True).groupBy("k").sum("v").write.parquet(target)
print("cwd:", sorted(name for name in os.listdir(".") if not name.startswith((".", "__"))))
print("conf:", spark.conf.get("spark.my.setting", "none"))
print("env:", os.environ.get("FROM_YARN"))
try:
    import helper
    print("helper:", helper.NAME)
except ImportError:
    print("helper: none")
"""


@pytest.fixture(scope="module")
def job(session_scratch, s3):
    def put(name, data):
        s3.put_object(Bucket=session_scratch.bucket, Key=f"{session_scratch.prefix}/{name}", Body=data)
        return f"{session_scratch}/{name}"

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside.txt", "x")
    put("helper.py", b"NAME = 'here'")
    put("data.csv", b"k,v\na,1\na,2\nb,3\n")
    put("settings.json", b"{}")
    put("archive.zip", packed.getvalue())
    return put("job.py", JOB.encode())


def test_client_mode(run_step, job, session_scratch, scratch, spark):
    result = run_step("spark-submit", job, f"{session_scratch}/data.csv", f"{scratch}/sums")
    rows = spark.read.parquet(f"{scratch}/sums").orderBy("k").collect()
    assert [tuple(row) for row in rows] == [("a", 3), ("b", 3)]
    assert "conf: none" in result.stdout


def test_cluster_mode_as_yarn_has_it(run_step, job, session_scratch, scratch, spark):
    place = str(session_scratch)
    result = run_step(
        *("spark-submit", "--master", "yarn", "--deploy-mode", "cluster", "--num-executors", "4"),
        *("--conf", "spark.my.setting=mine", "--conf", "spark.yarn.appMasterEnv.FROM_YARN=told"),
        *(
            "--conf",
            "spark.pyspark.python=/usr/bin/python3",
            "--conf",
            "spark.hadoop.fs.s3a.endpoint=s3.amazonaws.com",
        ),
        *("--files", f"{place}/settings.json#renamed.json", "--archives", f"{place}/archive.zip#unpacked"),
        *("--py-files", f"{place}/helper.py", job, f"{place}/data.csv", f"{scratch}/sums"),
    )
    assert spark.read.parquet(f"{scratch}/sums").count() == 2
    for line in ("conf: mine", "env: told", "helper: here"):
        assert line in result.stdout
    seen = next(line for line in result.stdout.splitlines() if line.startswith("cwd:"))
    assert "renamed.json" in seen
    assert "unpacked" in seen
    step_stderr = (result.log / "stderr").read_text()
    assert "(state: ACCEPTED)" in step_stderr
    assert "spark.hadoop.fs.s3a.endpoint: left out" in step_stderr


@pytest.mark.parametrize(("mode", "exit_code"), [("client", 3), ("cluster", 1)])
def test_a_job_that_fails(run_step, s3, session_scratch, mode, exit_code):
    s3.put_object(
        Bucket=session_scratch.bucket,
        Key=f"{session_scratch.prefix}/fails.py",
        Body=b"import sys\nprint('about to fail')\nprint('why', file=sys.stderr)\nsys.exit(3)\n",
    )
    result = run_step("spark-submit", "--deploy-mode", mode, f"{session_scratch}/fails.py", check=False)
    assert result.state == "FAILED"
    assert "about to fail" in result.stdout
    # Spark's own way: a Python driver's two outputs are one.
    assert "why" in result.stdout
    assert f"Step failed with exitCode {exit_code}" in (result.log / "controller").read_text()


def test_tables_and_hdfs_live_as_long_as_the_cluster(make_cluster, run_step):
    cluster = make_cluster(
        Configurations=[
            {"Classification": "spark-defaults", "Properties": {"spark.sql.catalogImplementation": "hive"}}
        ]
    )
    run_step("spark-sql", "-e", "create table kept as select 42 as answer", cluster=cluster)
    assert run_step("spark-sql", "-e", "select answer from kept", cluster=cluster).stdout.split() == ["42"]
    run_step("hadoop", "fs", "-mkdir", "-p", "/data/in", cluster=cluster)
    assert "/data/in" in run_step("hdfs", "dfs", "-ls", "/data", cluster=cluster).stdout
    lacking = run_step("hadoop", "distcp", "a", "b", cluster=cluster, check=False)
    assert "isolated-emr: " in lacking.stderr


HARD_CODED = """
import sys
from pyspark.sql import SparkSession
spark = (
    SparkSession.builder.config("spark.hadoop.fs.s3a.endpoint", "https://s3.eu-west-1.amazonaws.com")
    .config("spark.hadoop.fs.s3a.path.style.access", "false")
    .getOrCreate()
)
spark.range(4).write.parquet(sys.argv[1])
"""


def test_an_endpoint_in_a_jobs_code_does_not_lead_out(run_step, s3, scratch, spark):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=HARD_CODED.encode())
    run_step("spark-submit", f"{scratch}/job.py", f"{scratch}/out")
    assert spark.read.parquet(f"{scratch}/out").count() == 4
