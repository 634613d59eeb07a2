"""Clusters in containers: a suite in a session of its own, and what ends them from outside."""

from __future__ import annotations

import re
import shutil
import signal
import time
from pathlib import Path

import docker
import pytest

from tests.backends import BACKENDS
from tests.conftest import UNDER_ONE_SPARK
from tests.engine import containers_of, things_of

SUITES = Path(__file__).parent / "suites"


@pytest.mark.spark
@UNDER_ONE_SPARK
@pytest.mark.thorough
def test_containers(project, run_pytest):
    shutil.copy(SUITES / "test_containers.py", project)
    # The tests' own Spark has to do with as little.
    (project / "conftest.py").write_text(
        "def pytest_isolated_emr_spark_conf(conf):\n    conf['spark.driver.memory'] = '512m'\n"
    )
    run_pytest(*BACKENDS["docker"], "--isolated-emr-docker-memory=1g").assert_passed(16)


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_a_run_that_is_killed_in_a_step_leaves_no_container(project, start_pytest):
    (project / "test_it.py").write_text(
        """
def test_it(run_step):
    run_step("bash", "-c", "exec sleep 1000")
"""
    )
    process = start_pytest(*BACKENDS["docker"])
    run_id = next(found[1] for line in process.stdout if (found := re.search(r"run (\d\w+-\w+)", line)))

    def step_runs():
        assert process.poll() is None, process.stdout.read()
        return any(_runs_sleep(container) for container in containers_of(run_id))

    _until(step_runs)
    process.send_signal(signal.SIGKILL)
    _until(lambda: not things_of(run_id))


def _runs_sleep(container):
    try:
        return "cluster-j-" in container.name and any(
            "sleep 1000" in " ".join(line) for line in container.top()["Processes"]
        )
    except docker.errors.APIError:
        # It is being started.
        return False


def _until(is_so):
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
