"""Clients that nobody here wrote, unedited, find the session's EMR by AWS_ENDPOINT_URL alone.

Each directory of ``clients`` is a project of such a client's user, with the tests that its team would have. Those whose
client is in this interpreter's environment run in ``pytest --isolated-emr``; the others have one environment of their
own, and run there under ``isolated-emr exec``. The counts are those of their tests.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TIMEOUT, UNDER_ONE_SPARK, Run

PROJECTS = Path(__file__).parent / "clients"
#: Made by ``make test``.
ENVIRONMENT = Path(__file__).parents[2] / ".venv-clients"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture
def programs() -> Path:
    """The directory of the clients' programs."""
    if not (ENVIRONMENT / ".ready").is_file():
        pytest.fail(f"the clients are not installed: run `make {ENVIRONMENT.name}/.ready`")
    return ENVIRONMENT / "bin"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Where a project's copy goes."""
    return tmp_path / "project"


@pytest.fixture
def trap() -> Iterator[str]:
    """The address of a proxy that nobody may ask: who does, asks for something beyond this machine."""
    visits: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    # Shut down: the test is over.
                    return
                with connection:
                    visits.append(connection.recv(200))

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert visits == []


def copy(name: str, project: Path) -> None:
    shutil.copytree(PROJECTS / name, project, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))


def run_elsewhere(
    programs: Path, home: Path, project: Path, trap: str, count: int, *arguments: str, **variables: str
) -> None:
    """Run a project's tests with the clients' own interpreter; all of them have to pass."""
    hidden = ("PYTEST_", "AWS_", "VIRTUAL_ENV", "PYTHONPATH")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    environ |= {
        "ISOLATED_EMR_HOME": str(home),
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        **dict.fromkeys(PROXIES, trap),
        **variables,
    }
    # Ours may come from there; the client's interpreter is told to look nowhere.
    ours = {"PYTHONPATH": os.environ["PYTHONPATH"]} if os.environ.get("PYTHONPATH") else {}
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "pytest_isolated_emr.cli", "exec", "--"),
            *(
                "env",
                "--unset=PYTHONPATH",
                str(programs / "python"),
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
            ),
            *arguments,
        ],
        cwd=project,
        env=environ | ours,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
    )
    assert finished.returncode == 0, finished.stdout
    # All of them, and none skipped.
    assert f"= {count} passed" in finished.stdout, finished.stdout


def airflow_settings(directory: Path, project: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(directory),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "POLL_SECONDS": "1",
    }


def test_boto3(project: Path, run_pytest: Run) -> None:
    copy("boto3", project)
    run_pytest("--isolated-emr").assert_passed(19)


@pytest.mark.spark
@UNDER_ONE_SPARK
@pytest.mark.thorough
def test_awswrangler(project: Path, run_pytest: Run) -> None:
    copy("wrangler", project)
    run_pytest("--isolated-emr").assert_passed(6)


def command_line(tmp_path: Path, programs: Path) -> dict[str, str]:
    """Put ``aws`` on the PATH, and nothing else of its environment."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "aws").symlink_to(programs / "aws")
    return {"PATH": os.pathsep.join([str(directory), os.environ["PATH"]])}


@pytest.mark.thorough
def test_commands_of_the_aws_command_line(
    project: Path, tmp_path: Path, programs: Path, run_pytest: Run
) -> None:
    copy("awscli", project)
    run_pytest("--isolated-emr", "test_commands.py", **command_line(tmp_path, programs)).assert_passed(17)


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_a_script_of_the_aws_command_line(
    project: Path, tmp_path: Path, programs: Path, run_pytest: Run
) -> None:
    copy("awscli", project)
    run_pytest("--isolated-emr", "test_nightly.py", **command_line(tmp_path, programs)).assert_passed(1)


def test_operators_of_airflow(project: Path, tmp_path: Path, programs: Path, home: Path, trap: str) -> None:
    copy("airflow", project)
    settings = airflow_settings(tmp_path / "airflow", project)
    run_elsewhere(programs, home, project, trap, 10, "tests/test_operators.py", **settings)


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_a_dag_of_airflow(project: Path, tmp_path: Path, programs: Path, home: Path, trap: str) -> None:
    copy("airflow", project)
    settings = airflow_settings(tmp_path / "airflow", project)
    run_elsewhere(programs, home, project, trap, 1, "tests/test_dag.py", **settings)


@pytest.mark.spark
@UNDER_ONE_SPARK
@pytest.mark.thorough
def test_mrjob(project: Path, programs: Path, home: Path, trap: str) -> None:
    copy("mrjob", project)
    run_elsewhere(programs, home, project, trap, 3)


@pytest.mark.spark
@UNDER_ONE_SPARK
@pytest.mark.thorough
def test_dagster(project: Path, programs: Path, home: Path, trap: str) -> None:
    copy("dagster", project)
    run_elsewhere(programs, home, project, trap, 2, DAGSTER_DISABLE_TELEMETRY="yes")
