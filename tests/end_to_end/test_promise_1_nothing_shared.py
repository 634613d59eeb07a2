"""Promise 1: two sessions never share anything."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.backends import BACKENDS, WITH_SPARK
from tests.conftest import UNDER_ONE_SPARK, Finished

SUITE = """
import json, os
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(4))
def test_same_names(isolated_emr, spark, s3, scratch, number):
    owner = isolated_emr.run_id
    if number == 0:
        s3.create_bucket(Bucket="shared-name")
        s3.put_object(Bucket="shared-name", Key="owner", Body=owner.encode())
        spark.createDataFrame([(owner,)], ["owner"]).write.saveAsTable("shared_table")
        assert [row.owner for row in spark.table("shared_table").collect()] == [owner]
        assert s3.get_object(Bucket="shared-name", Key="owner")["Body"].read().decode() == owner
    spark.range(10).write.parquet(scratch.uri)
    assert spark.read.parquet(scratch.uri).count() == 10
    facts = {
        "run_id": owner,
        "endpoint": isolated_emr.endpoint_url,
        "bucket": scratch.bucket,
        "scratch": str(scratch.path),
        "key": os.environ["AWS_ACCESS_KEY_ID"],
        # In a container, whose processes have numbers of their own: its address, with its token.
        "jvm": os.environ.get("SPARK_REMOTE") or spark._jvm.java.lang.ProcessHandle.current().pid(),
        "warehouse": spark.conf.get("spark.sql.warehouse.dir"),
    }
    with open(os.environ["FACTS"], "a") as file:
        file.write(json.dumps(facts) + "\\n")
"""


@pytest.mark.spark
@pytest.mark.parametrize(
    ("backend", "sessions", "workers"),
    [
        ("local", 2, 0),
        pytest.param("local", 4, 2, marks=pytest.mark.thorough),
        pytest.param("docker", 2, 2, marks=UNDER_ONE_SPARK),
    ],
)
def test_sessions_in_one_checkout_at_the_same_moment(
    project, tmp_path, start_pytest, backend, sessions, workers
):
    (project / "test_it.py").write_text(SUITE)
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    subprocess.run(["git", "add", "."], cwd=project, check=True)
    files = [tmp_path / f"facts-{number}" for number in range(sessions)]
    arguments = ["-n", str(workers)] if workers else []
    processes = [start_pytest(*BACKENDS[backend], *arguments, FACTS=str(file)) for file in files]
    for finished in [Finished(process) for process in processes]:
        finished.assert_passed(4)
    facts = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    for what in ("run_id", "endpoint", "bucket", "key", "jvm", "warehouse", "scratch"):
        seen = [{fact[what] for fact in session} for session in facts]
        assert sum(len(values) for values in seen) == len(set.union(*seen)), f"{what} is shared: {seen}"
    status = subprocess.run(
        ["git", "status", "--porcelain", "--ignored"], cwd=project, check=True, capture_output=True, text=True
    )
    # What changed since `git add`: nothing but the files that were added.
    assert [line for line in status.stdout.splitlines() if not line.startswith("A  ")] == []


NESTED = """
pytest_plugins = "pytester"

def test_a_run_inside_a_test_is_a_session_of_its_own(pytester, isolated_emr):
    pytester.makepyfile("def test_inner(isolated_emr): print('inner', isolated_emr.run_id)")
    for run in (pytester.runpytest_inprocess, pytester.runpytest_subprocess):
        result = run("--isolated-emr", "-s", "-p", "no:cacheprovider")
        result.assert_outcomes(passed=1)
        assert isolated_emr.run_id not in result.stdout.str()
    # The outer session goes on: its endpoint answers, and the environment names it.
    import boto3
    assert boto3.client("s3").list_buckets()["Buckets"]
    assert boto3.client("s3").meta.endpoint_url == isolated_emr.endpoint_url
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_nested_runs(project: Path, run_pytest, workers):
    (project / "test_it.py").write_text(NESTED)
    run_pytest("--isolated-emr", *(["-n", str(workers)] if workers else [])).assert_passed(1)


NESTED_SPARK = """
pytest_plugins = "pytester"

# pytester forgets the modules that were imported since its set-up, and NumPy cannot be imported twice.
def test_a_run_inside_a_test_has_a_spark_of_its_own(spark, pytester, isolated_emr):
    import os
    spark.range(3).write.saveAsTable("outer")
    remote = os.environ["SPARK_REMOTE"]
    pytester.makepyfile(
        "import os\\n"
        "def test_inner(spark):\\n"
        "    assert spark.catalog.listTables() == []\\n"
        f"    assert os.environ['SPARK_REMOTE'] != {remote!r}\\n"
        "    assert spark.range(4).count() == 4\\n"
    )
    for how in HOW:
        getattr(pytester, f"runpytest_{how}")(*ARGUMENTS, "-p", "no:cacheprovider", "-p", "no:spark").assert_outcomes(passed=1)
    # The outer one goes on.
    assert os.environ["SPARK_REMOTE"] == remote
    assert [table.name for table in spark.catalog.listTables()] == ["outer"]
    from pyspark.sql import SparkSession
    assert SparkSession.builder.getOrCreate().table("outer").count() == 3
"""


@pytest.mark.spark
@UNDER_ONE_SPARK
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=pytest.mark.thorough) if name == "docker" else name
        for name in WITH_SPARK
        if name != "local"
    ],
)
def test_nested_runs_over_spark_connect(project: Path, run_pytest, backend):
    arguments = BACKENDS[backend]
    # On AWS a process of its own has no more in common with this one than a run at the same moment.
    how = ["inprocess"] if backend == "emr" else ["inprocess", "subprocess"]
    (project / "test_it.py").write_text(f"ARGUMENTS, HOW = {list(arguments)!r}, {how!r}\n{NESTED_SPARK}")
    run_pytest(*arguments, "-p", "no:spark").assert_passed(1)
