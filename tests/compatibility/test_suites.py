"""Other people's suites, written without us, pass unedited with ``--isolated-emr`` and leave nothing behind.

Each directory of ``suites`` is one such project. The counts below are those of its tests.
"""

from __future__ import annotations

import shutil
import socket
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import Run

SUITES = Path(__file__).parent / "suites"
SPARK = tuple(int(part) for part in version("pyspark").split(".")[:2])

#: The newest Spark that a release of delta-spark is for (4.4: pyspark up to 4.2). With one that is newer
#: there is no such suite to pass; with any other it has to, whether or not delta-spark is installed.
NEWEST_OF_DELTA = (4, 2)

SPARK_SUITES = {"pytest_spark": 8, "chispa": 8, "yarn_jobs": 7}
if SPARK <= NEWEST_OF_DELTA:
    SPARK_SUITES["delta"] = 7

#: Suites without Spark, run as one. moto's comes last: it leaves its credentials in the environment, as the
#: example in moto's documentation does.
CLIENT_SUITES = {
    "pandas_s3fs": 6,
    "arrow": 6,
    "duckdb_httpfs": 7,
    "polars_s3": 5,
    "wrangler": 6,
    "moto_mocks": 19,
}


PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Where the suite's copy goes."""
    return tmp_path / "project"


def run_suite(run_pytest: Run, project: Path, name: str, *arguments: str, **variables: str) -> dict[str, int]:
    """Run a copy of a suite, which must pass and leave nothing; return how many passed, by directory."""
    shutil.copytree(SUITES / name, project, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    before = files_of(project)
    report = project.with_name("report.xml")
    finished = run_pytest("--isolated-emr", f"--junitxml={report}", *arguments, **variables)
    assert finished.code == 0, finished.output
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.get(name, "-1")) for name in ("failures", "errors", "skipped")}
    assert counts == {"failures": 0, "errors": 0, "skipped": 0}, finished.output
    assert files_of(project) == before
    passed: dict[str, int] = {}
    for case in suite.iter("testcase"):
        # PACKAGE.MODULE, or PACKAGE.MODULE.CLASS
        part = case.get("classname", "").partition(".")[0]
        passed[part] = passed.get(part, 0) + 1
    return passed


def files_of(directory: Path) -> set[str]:
    """Name everything in a directory but pytest's own cache."""
    found = (path.relative_to(directory) for path in directory.rglob("*"))
    return {str(path) for path in found if path.parts[0] != ".pytest_cache"}


@pytest.mark.spark
@pytest.mark.parametrize(("name", "count"), SPARK_SUITES.items(), ids=SPARK_SUITES)
def test_spark_suite(name: str, count: int, project: Path, run_pytest: Run) -> None:
    passed = run_suite(run_pytest, project, name)
    assert sum(passed.values()) == count


def test_suites_of_other_clients(project: Path, run_pytest: Run) -> None:
    assert run_suite(run_pytest, project, "clients", *CLIENT_SUITES) == CLIENT_SUITES


@dataclass
class Trap:
    """A server that nobody may talk to: it counts who does."""

    address: str
    visits: list[bytes] = field(default_factory=list)


@pytest.fixture
def trap() -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        trap = Trap(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    # Shut down: the test is over.
                    return
                with connection:
                    trap.visits.append(connection.recv(200))

        thread = threading.Thread(target=listen)
        thread.start()
        yield trap
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.spark
def test_hard_coded_settings_do_not_lead_out(
    project: Path, tmp_path: Path, run_pytest: Run, trap: Trap
) -> None:
    user = tmp_path / "user"
    (user / ".aws").mkdir(parents=True)
    (user / ".aws" / "config").write_text(
        f"[default]\nregion = us-east-1\nendpoint_url = {trap.address}\n"
        "[profile prod]\nrole_arn = arn:aws:iam::210987654321:role/deploy\nsource_profile = dev\n"
        "[profile dev]\nsso_session = acme\nsso_account_id = 210987654321\nsso_role_name = developer\n"
        "[sso-session acme]\nsso_region = us-east-1\nsso_start_url = https://acme.awsapps.com/start\n"
    )
    passed = run_suite(
        run_pytest,
        project,
        "hard_coded",
        HOME=str(user),
        AWS_PROFILE="dev",
        AWS_ACCESS_KEY_ID="AKIA4Q3TXMPLR7WVN2HE",
        AWS_SECRET_ACCESS_KEY="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",
        AWS_SESSION_TOKEN="FwoGZXIvYXdzEJr//////////wEaDExample",
        AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL=trap.address,
        AWS_ENDPOINT_URL_S3=trap.address,
        DATALAKE_ENDPOINT=trap.address,
        **dict.fromkeys(PROXIES, trap.address),
    )
    assert trap.visits == []
    assert sum(passed.values()) == 10
