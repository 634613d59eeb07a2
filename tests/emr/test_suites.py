"""EMR as user code meets it: suites that run in a session of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

SUITES = Path(__file__).parent / "suites"


def test_clusters_and_steps(project, run_pytest):
    shutil.copy(SUITES / "test_life.py", project)
    finished = run_pytest("--isolated-emr")
    assert finished.code == 0, finished.output
    assert "skipped" not in finished.output


@pytest.mark.spark
def test_steps_with_spark(project, run_pytest):
    shutil.copy(SUITES / "test_spark.py", project)
    run_pytest("--isolated-emr").assert_passed(6)


def test_a_failing_test_shows_the_steps_that_it_ran(project, home, run_pytest):
    (project / "test_it.py").write_text(
        "def test_it(run_step):\n    run_step('bash', '-c', 'echo the reason >&2; exit 1')\n"
    )
    finished = run_pytest("--isolated-emr")
    assert finished.code == 1
    assert "EMR step s-" in finished.output
    assert finished.output.count("the reason") >= 2, finished.output
    kept = [path.read_text() for path in home.glob("sessions/*/kept/clusters/j-*/steps/s-*/stderr")]
    assert kept == ["the reason\n"]


def test_a_step_ends_with_the_endpoint(project, run_pytest):
    (project / "test_it.py").write_text(
        """
import json, time
import psutil, pytest
from botocore.config import Config

def test_it(aws_client, emr_cluster, isolated_emr, tmp_path):
    emr = aws_client("emr", config=Config(retries={"max_attempts": 0}))
    pid = tmp_path / "pid"
    step = {"Jar": "command-runner.jar", "Args": ["bash", "-c", f"echo $$ > {pid}; exec sleep 1000"]}
    emr.add_job_flow_steps(JobFlowId=emr_cluster, Steps=[{"Name": "s", "HadoopJarStep": step}])
    deadline = time.monotonic() + 60
    while not pid.exists() or not pid.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running = psutil.Process(int(pid.read_text()))
    keeper = psutil.Process(json.loads((isolated_emr._session.directory / "session.json").read_text())["keeper"]["pid"])
    endpoint = [child for child in keeper.children() if "pytest_isolated_emr.aws.endpoint" in child.cmdline()]
    endpoint[0].kill()
    running.wait(60)
    with pytest.raises(Exception, match="onnect"):
        emr.describe_cluster(ClusterId=emr_cluster)
"""
    )
    run_pytest("--isolated-emr").assert_passed(1)


@pytest.mark.spark
def test_sessions(project, home, run_pytest):
    shutil.copy(SUITES / "test_sessions.py", project)
    run_pytest("--isolated-emr").assert_passed(29)
    # One of its sessions was never terminated.
    assert not _servers_below(home)


@pytest.mark.spark
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
