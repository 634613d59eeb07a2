"""EMR as user code meets it: suites that run in a session of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SUITES = Path(__file__).parent / "suites"


def test_clusters_and_steps(project, run_pytest):
    shutil.copy(SUITES / "test_life.py", project)
    finished = run_pytest("--isolated-emr")
    assert finished.code == 0, finished.output
    assert "skipped" not in finished.output


@pytest.mark.parametrize("suite", ["test_instances", "test_settings"])
def test_the_control_plane(project, run_pytest, suite):
    shutil.copy(SUITES / f"{suite}.py", project)
    finished = run_pytest("--isolated-emr")
    assert finished.code == 0, finished.output
    assert "skipped" not in finished.output


@pytest.mark.spark
def test_releases(project, run_pytest):
    shutil.copy(SUITES / "test_releases.py", project)
    run_pytest("--isolated-emr", "--isolated-emr-release=emr-7.9.0").assert_passed(16)


@pytest.mark.spark
def test_steps_with_spark(project, run_pytest):
    shutil.copy(SUITES / "test_spark.py", project)
    run_pytest("--isolated-emr").assert_passed(6)


@pytest.mark.spark
def test_log_settings(project, run_pytest):
    shutil.copy(SUITES / "test_log4j2.py", project)
    run_pytest("--isolated-emr").assert_passed(1)


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
