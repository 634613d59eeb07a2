"""Spark of the tests' own process is a session of EMR's: one of the local EMR, which really runs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.conftest import Run
from tests.emr_backend.s3_endpoint import REGION

pytestmark = pytest.mark.spark

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


def test_a_suite(run_suite: Callable[..., Any]) -> None:
    finished = run_suite((HERE / "suites" / "connect_suite.py").read_text())
    finished.assert_passed(27)
