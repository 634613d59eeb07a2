"""Spark of the tests' own process is a session of EMR's: one of the local EMR, which really runs it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from pytest_isolated_emr.spark.connect.emr_token import RENEW_SECONDS, EmrToken
from tests.conftest import Run
from tests.emr_backend.s3_endpoint import REGION

HERE = Path(__file__).parent


@pytest.fixture
def emr(aws_variables: dict[str, str]) -> Any:
    return boto3.client(
        "emr",
        region_name=REGION,
        endpoint_url=aws_variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=aws_variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws_variables["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def cluster(emr: Any) -> Iterator[str]:
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    made = emr.run_job_flow(
        Name="connect",
        ReleaseLabel="emr-spark-8.0.0",
        Applications=[{"Name": "Spark"}],
        JobFlowRole="EMR_EC2_DefaultRole",
        ServiceRole="EMR_DefaultRole",
        SessionEnabled=True,
        Instances=instances,
    )["JobFlowId"]
    emr.get_waiter("cluster_running").wait(ClusterId=made, WaiterConfig={"Delay": 1})
    yield made
    emr.terminate_job_flows(JobFlowIds=[made])


@pytest.fixture
def run_suite(
    project: Path,
    tmp_path: Path,
    run_pytest: Run,
    cluster: str,
    aws_variables: dict[str, str],
    aws_home: Path,
) -> Callable[..., Any]:
    """Run a suite in a project with code of its own."""
    with (project / "pytest.ini").open("a") as ini:
        ini.write("pythonpath = src\n")
    for path, code in {
        "src/shop/__init__.py": "",
        "src/shop/prices.py": "def twice(x): return 2 * x\n",
        "src/venv/pyvenv.cfg": "",
        "src/venv/in_a_venv.py": "",
        "src/.hidden/lib/site-packages/package.py": "",
        "tests/near.py": "def plus_ten(x): return x + 10\n",
        "more/extra.py": "def thrice(x): return 3 * x\n",
        "installed/as_package/__init__.py": "from as_package.inner import four_times\n",
        "installed/as_package/inner.py": "def four_times(x): return 4 * x\n",
    }.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(code)
    shutil.copy(HERE / "suites" / "connect_conftest.py", project / "tests" / "conftest.py")

    def run(suite: str, *arguments: str) -> Any:
        (project / "tests" / "test_it.py").write_text(suite)
        more = [project / "more" / "extra.py", project / "installed" / "as_package"]
        return run_pytest(
            "-p",
            "no:spark",
            *arguments,
            **aws_variables,
            STAND_IN=str(HERE / "stand_in_keeper.py"),
            CLUSTER=cluster,
            EMR_HOME=str(aws_home),
            WORK=str(tmp_path),
            PYFILES=":".join(map(str, more)),
            ELSEWHERE=":".join(str(path.parent) for path in more),
        )

    return run


@pytest.mark.thorough
def test_a_suite(run_suite: Callable[..., Any]) -> None:
    finished = run_suite((HERE / "suites" / "connect_suite.py").read_text())
    finished.assert_passed(25)
    assert "left 0, uninstalled" in finished.output


ENDED = """
import subprocess, sys
import pytest
from pytest_isolated_emr import errors

def test_it_ends_in_a_test(spark, keeper, runtime):
    assert spark.range(3).count() == 3
    keeper.emr.terminate_job_flows(JobFlowIds=[keeper.cluster])
    keeper.emr.get_waiter("cluster_terminated").wait(ClusterId=keeper.cluster, WaiterConfig={"Delay": 1})
    # PySpark alone would try for ten minutes.
    with pytest.raises(errors.ConnectSessionFailed, match="IE612.*has ended: TERMINATED"):
        spark.range(3).count()
    with pytest.raises(errors.ConnectSessionFailed):
        spark.conf.get("spark.sql.session.timeZone")
    assert runtime.is_used
    assert not runtime.status()["alive"]

def test_all_sessions_are_closed(runtime, keeper):
    runtime.end_context()
    assert not runtime.is_used
    assert not runtime.is_started
    # There is no cluster for another one.
    with pytest.raises(keeper.emr.exceptions.InvalidRequestException):
        runtime.start()
"""


def test_the_cluster_ends(run_suite: Callable[..., Any]) -> None:
    run_suite(ENDED).assert_passed(2)


HIVE = """
import pytest
from pyspark.sql import SparkSession

@pytest.fixture(scope="session")
def spark_session():
    return SparkSession.builder.enableHiveSupport().getOrCreate()

def test_leaves_a_table_and_a_view(spark):
    assert spark.conf.get("spark.sql.catalogImplementation") == "hive"
    spark.sql("CREATE TABLE left_table (x INT) STORED AS PARQUET")
    spark.range(3).createOrReplaceGlobalTempView("left_view")

def test_the_table_may_be_anybodys(spark, notes):
    assert [table.name for table in spark.catalog.listTables()] == ["left_table"]
    assert spark.catalog.listTables("global_temp") == []
    assert [note for note in notes if "(hive) are not removed" in note]
"""


def test_a_catalog_of_others(run_suite: Callable[..., Any]) -> None:
    run_suite(HIVE).assert_passed(2)


def test_a_token_is_renewed_once_and_not_too_early() -> None:
    shown: list[str] = []
    renewed: list[float] = []

    def renew() -> tuple[str, float]:
        renewed.append(time.time())
        return f"url-{len(renewed)}", time.time() + RENEW_SECONDS + 60

    token = EmrToken("url-0", time.time() + RENEW_SECONDS + 60, renew, shown.append)
    assert token.current() == "url-0"
    assert shown == ["url-0"]
    token = EmrToken("url-0", time.time() - 1, renew, shown.append)
    with ThreadPoolExecutor(8) as pool:
        assert {called.result() for called in [pool.submit(token.current) for _ in range(40)]} == {"url-1"}
    assert len(renewed) == 1
    assert shown[1:] == ["url-0", "url-1"]


def test_nobody_is_asked_for_a_token_that_is_kept() -> None:
    def renew() -> tuple[str, float]:
        raise AssertionError

    token = EmrToken("url-0", time.time() - 1, renew, lambda _url: None)
    token.keep()
    assert token.current() == "url-0"


def test_nobody_waits_for_a_renewal_while_the_token_holds() -> None:
    renewing, go = threading.Event(), threading.Event()

    def renew() -> tuple[str, float]:
        renewing.set()
        assert go.wait(60)
        return "url-1", time.time() + 3600

    token = EmrToken("url-0", time.time() + RENEW_SECONDS - 60, renew, lambda _url: None)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(token.current)
        assert renewing.wait(60)
        assert token.current() == "url-0"
        go.set()
        assert other.result(timeout=60) == "url-1"
    assert token.current() == "url-1"
