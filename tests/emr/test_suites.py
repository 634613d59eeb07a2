"""EMR as user code meets it: suites that run in a session of their own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.backends import BACKENDS
from tests.conftest import UNDER_ONE_SPARK
from tests.spares.by_spare import live, wait_for

SUITES = Path(__file__).parent / "suites"


def copy_suite(suite: str, project: Path) -> None:
    for name in (suite, "processes"):
        shutil.copy(SUITES / f"{name}.py", project)


@pytest.mark.parametrize(
    "suite",
    [
        "test_life",
        "test_programs",
        "test_bad_luck",
        "test_moments",
        "test_instances",
        pytest.param("test_settings", marks=pytest.mark.thorough),
    ],
)
def test_what_needs_no_spark(project, run_pytest, suite):
    copy_suite(suite, project)
    finished = run_pytest("--isolated-emr")
    assert finished.code == 0, finished.output
    assert "skipped" not in finished.output


@pytest.mark.spark
@pytest.mark.parametrize(
    ("suite", "count"),
    [
        ("test_spark", 6),
        pytest.param("test_exit_codes", 9, marks=pytest.mark.thorough),
        pytest.param("test_hard_coded", 6, marks=pytest.mark.thorough),
        pytest.param("test_configurations", 6, marks=pytest.mark.thorough),
        pytest.param("test_ahead", 4, marks=pytest.mark.thorough),
    ],
)
def test_what_runs_spark(project, run_pytest, suite, count):
    copy_suite(suite, project)
    run_pytest("--isolated-emr").assert_passed(count)


#: Of each suite what depends on where commands run.
ON_DOCKER = {
    "test_life": (
        "cancelling or outlives or bootstrap or script or signal or logs_are_on_s3 or steps_at_once",
        9,
    ),
    "test_programs": ("", 44),
    "test_bad_luck": ("", 13),
    "test_moments": ("", 12),
    "test_spark": ("cluster_mode or tables_and_hdfs", 2),
    "test_exit_codes": ("System.exit or os._exit or SIGTERM", 4),
    "test_configurations": ("spark_env or common_requests", 2),
    "test_sessions": ("reading or own_process or end_of_a_cluster", 3),
}


@pytest.mark.spark
@UNDER_ONE_SPARK
@pytest.mark.parametrize(
    "suite",
    [each if each == "test_life" else pytest.param(each, marks=pytest.mark.thorough) for each in ON_DOCKER],
)
def test_in_containers(project, run_pytest, suite):
    copy_suite(suite, project)
    chosen, count = ON_DOCKER[suite]
    run_pytest(*BACKENDS["docker"], "-k", chosen).assert_passed(count)


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_releases(project, run_pytest):
    shutil.copy(SUITES / "test_releases.py", project)
    run_pytest("--isolated-emr", "--isolated-emr-release=emr-7.9.0").assert_passed(16)


@pytest.mark.spark
@pytest.mark.thorough
def test_own_jars_and_packages(project, run_pytest):
    for name in ("test_own_jars.py", "java_jars.py"):
        shutil.copy(SUITES / name, project)
    (project / "repository").mkdir()
    with (project / "pytest.ini").open("a") as ini:
        ini.write(f"isolated_emr_repositories = {(project / 'repository').as_uri()}\n")
    run_pytest("--isolated-emr").assert_passed(20)


def test_a_failing_test_shows_the_steps_that_it_ran(project, home, run_pytest):
    (project / "test_it.py").write_text(
        "def test_it(run_step):\n    run_step('bash', '-c', 'echo the reason >&2; exit 1')\n"
    )
    finished = run_pytest("--isolated-emr")
    assert finished.code == 1
    assert "EMR step s-" in finished.output
    assert finished.output.count("the reason") >= 2, finished.output
    (whole_log,) = set(re.findall(r"the whole log: ([^);]+)", finished.output)) - set(
        re.findall(r"the whole log: (\S+\.log)", finished.output)
    )
    assert (Path(whole_log) / "stderr").read_text() == "the reason\n"


def test_a_failing_test_shows_what_failed_under_plain_boto3(project, run_pytest):
    (project / "test_it.py").write_text(
        """
import boto3

def run(emr, cluster, script):
    step = {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]}
    step = {"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": step}
    added = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step])["StepIds"][0]
    try:
        emr.get_waiter("step_complete").wait(ClusterId=cluster, StepId=added)
    except Exception as error:
        return error

def test_first(emr_cluster):
    run(boto3.client("emr"), emr_cluster, "echo of the test before >&2; exit 3")

def test_it(emr_cluster):
    emr = boto3.client("emr")
    run(emr, emr_cluster, "echo the reason >&2; exit 4")
    run(emr, emr_cluster, "echo no failure >&2")
    assert False

def test_boot(s3, scratch, make_cluster):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/no.sh", Body=b"#!/bin/sh\\necho no boot >&2; exit 5")
    make_cluster(BootstrapActions=[{"Name": "n", "ScriptBootstrapAction": {"Path": f"{scratch}/no.sh"}}])
"""
    )
    finished = run_pytest("--isolated-emr")
    assert "2 failed, 1 passed" in finished.output
    assert re.search(r"EMR step s-\w+ of j-\w+ \(exit code 4\)", finished.output), finished.output
    assert re.search(r"EMR bootstrap action 1 of j-\w+ \(exit code 5\)", finished.output), finished.output
    for line in ("\nthe reason\n", "\nno boot\n"):
        assert line in finished.output
    for line in ("of the test before", "\nno failure"):
        assert line not in finished.output.partition("FAILURES")[2].replace("echo of the test before", "")


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


def test_a_daemon_that_hides_its_environment_ends_with_the_session(project, run_pytest):
    (project / "test_it.py").write_text(
        """
def test_it(run_step):
    daemon = run_step("bash", "-c", "setsid env -i sleep 1000 > /dev/null 2>&1 & echo $!")
    print("DAEMON", daemon.stdout.strip())
"""
    )
    finished = run_pytest("--isolated-emr", "-s")
    finished.assert_passed(1)
    pid = int(re.search(r"DAEMON (\d+)", finished.output)[1])
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(pid).cmdline() != ["sleep", "1000"]


def test_a_cluster_of_an_import_can_be_ended_before_spark_is_known(project, run_pytest):
    (project / "conftest.py").write_text(
        """
import boto3
emr = boto3.client("emr")
instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
roles = {"JobFlowRole": "r", "ServiceRole": "r"}
made = emr.run_job_flow(Name="n", ReleaseLabel="emr-7.10.0", Instances=instances, **roles)["JobFlowId"]
emr.terminate_job_flows(JobFlowIds=[made])
emr.get_waiter("cluster_terminated").wait(ClusterId=made)
"""
    )
    (project / "test_it.py").write_text("def test_it():\n    pass\n")
    run_pytest("--isolated-emr").assert_passed(1)


def test_a_running_step_ends_when_its_keeper_is_killed(project, home, run_pytest):
    """By itself, or at the latest by the next sweep."""
    (project / "test_it.py").write_text(
        """
import json, time
import psutil

def test_it(aws_client, emr_cluster, isolated_emr):
    emr = aws_client("emr")
    step = {"Jar": "command-runner.jar", "Args": ["bash", "-c", "echo $$ > $HOME/pid; exec sleep 1000"]}
    emr.add_job_flow_steps(JobFlowId=emr_cluster, Steps=[{"Name": "s", "HadoopJarStep": step}])
    session = isolated_emr._session.directory
    deadline = time.monotonic() + 60
    pid = session / "clusters" / emr_cluster / "home" / "pid"
    while not pid.exists() or not pid.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running = psutil.Process(int(pid.read_text()))
    print("STEP", running.pid, running.create_time())
    keeper = psutil.Process(json.loads((session / "session.json").read_text())["keeper"]["pid"])
    keeper.kill()
    keeper.wait(60)
"""
    )
    finished = run_pytest("--isolated-emr", "-s")
    pid, created = re.search(r"STEP (\d+) ([\d.]+)", finished.output).groups()
    swept = subprocess.run(
        [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--delete"],
        env=os.environ | {"ISOLATED_EMR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert swept.returncode == 0, swept.stdout + swept.stderr
    with contextlib.suppress(psutil.NoSuchProcess):
        left = psutil.Process(int(pid))
        # Another process may have the number by now.
        assert left.create_time() != float(created) or left.status() == psutil.STATUS_ZOMBIE
    assert list(home.glob("sessions/*")) == []


def test_a_daemon_of_a_step_is_no_zombie_once_it_has_ended(project, run_pytest):
    (project / "test_it.py").write_text(
        """
import time
import psutil

def test_it(run_step):
    daemon = int(run_step("bash", "-c", "sleep 1000 > /dev/null 2>&1 & echo $!").stdout)
    psutil.Process(daemon).kill()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(daemon):
        assert time.monotonic() < deadline
        time.sleep(0.02)
"""
    )
    run_pytest("--isolated-emr").assert_passed(1)


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_a_jvm_that_waits_for_a_step_ends_with_its_run(project, home, start_pytest):
    (project / "test_it.py").write_text(
        """
import os

def test_it(run_step, s3, scratch):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=b"print('done')")
    run_step("spark-submit", f"{scratch}/job.py")
    os.read(os.pipe()[0], 1)
"""
    )
    process = start_pytest("--isolated-emr")
    wait_for(lambda: list(waiting_jvms(home)) or process.poll() is not None, "a JVM ahead of its step")
    assert process.poll() is None, process.communicate()[0]
    (waiting,) = waiting_jvms(home)
    process.kill()
    wait_for(lambda: not waiting.is_running(), f"the end of {waiting}")
    wait_for(lambda: not list(live(home)), "the end of the session")


def waiting_jvms(home):
    for process in psutil.process_iter():
        # Others end meanwhile, or are none of ours to look at.
        with contextlib.suppress(psutil.Error):
            if "isolatedemr.SubmitAhead" in process.cmdline() and str(home) in str(process.environ()):
                yield process
