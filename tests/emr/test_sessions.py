"""Spark Connect sessions of EMR clusters: a suite in a session of its own, and what ends the servers."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from tests.conftest import UNDER_ONE_SPARK

SUITE = Path(__file__).parent / "suites" / "test_sessions.py"


@pytest.mark.spark
@pytest.mark.thorough
def test_sessions(project, home, run_pytest):
    shutil.copy(SUITE, project)
    run_pytest("--isolated-emr").assert_passed(29)
    # One of its sessions was never terminated.
    assert not _servers_below(home)


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_a_session_ends_with_the_endpoint(project, home, run_pytest):
    (project / "test_it.py").write_text(
        """
import json, time
import psutil

def test_it(emr, isolated_emr):
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    request = {"Name": "c", "ReleaseLabel": "emr-spark-8.0.0", "JobFlowRole": "r", "ServiceRole": "r"}
    cluster = emr.run_job_flow(**request, Instances=instances, SessionEnabled=True)["JobFlowId"]
    emr.get_waiter("cluster_running").wait(ClusterId=cluster)
    session = emr.start_session(ClusterId=cluster, Name="s")["Id"]
    deadline = time.monotonic() + 120
    while emr.get_session(ClusterId=cluster, SessionId=session)["Session"]["State"] != "IDLE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    keeper = psutil.Process(json.loads((isolated_emr._session.directory / "session.json").read_text())["keeper"]["pid"])
    servers = [child for child in keeper.children() if child.environ().get("ISOLATED_EMR_SESSION_DIRECTORY")]
    assert len(servers) == 1
    endpoint = [child for child in keeper.children() if "pytest_isolated_emr.aws.endpoint" in child.cmdline()]
    endpoint[0].kill()
    servers[0].wait(60)
"""
    )
    run_pytest("--isolated-emr").assert_passed(1)


def _servers_below(home: Path) -> list[psutil.Process]:
    """Return the processes of Spark Connect servers of the sessions below a state root."""
    return [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("ISOLATED_EMR_SESSION_DIRECTORY", "").startswith(str(home))
    ]
