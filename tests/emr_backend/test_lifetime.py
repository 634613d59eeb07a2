"""A cluster that ends by itself after its lifetime, and a machine that never does."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from pytest_isolated_emr.backends.emr import lifetime
from tests.conftest import UNDER_ONE_SPARK, Run

SUITE = """
import time

import boto3

from pytest_isolated_emr.backends.emr import lifetime

emr = boto3.client("emr")


def start(isolated_emr, seconds):
    scratch = isolated_emr.scratch
    key = f"{scratch.prefix.rstrip('/')}/{lifetime.KEY}"
    boto3.client("s3").put_object(Bucket=scratch.bucket, Key=key, Body=lifetime.script().encode())
    action = lifetime.bootstrap_action(f"s3://{scratch.bucket}/{key}", seconds, grace_seconds=1)
    return emr.run_job_flow(
        Name="n",
        ReleaseLabel="emr-7.10.0",
        Instances={"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True},
        JobFlowRole="EMR_EC2_DefaultRole",
        ServiceRole="EMR_DefaultRole",
        BootstrapActions=[action],
    )["JobFlowId"]


def until(cluster, *wanted):
    deadline = time.monotonic() + 120
    while (state := emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]) not in wanted:
        assert time.monotonic() < deadline, state
        time.sleep(0.05)
    return state


def test_its_lifetime_ends_a_cluster(isolated_emr):
    cluster = start(isolated_emr, 3)
    assert until(cluster, "TERMINATED", "TERMINATED_WITH_ERRORS") == "TERMINATED"


def test_a_long_lifetime_holds_up_nothing(isolated_emr):
    cluster = start(isolated_emr, 3600)
    assert until(cluster, "WAITING", "TERMINATED_WITH_ERRORS") == "WAITING"


def test_a_shutdown_that_is_cancelled_ends_nothing(emr_cluster, run_step):
    run_step("shutdown", "-c", cluster=emr_cluster)
    assert emr.describe_cluster(ClusterId=emr_cluster)["Cluster"]["Status"]["State"] in ("RUNNING", "WAITING")


def test_a_shutdown_by_a_step_ends_the_cluster(emr_cluster):
    step = {"Jar": "command-runner.jar", "Args": ["sudo", "/sbin/shutdown", "-h", "now"]}
    emr.add_job_flow_steps(
        JobFlowId=emr_cluster, Steps=[{"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": step}]
    )
    assert until(emr_cluster, "TERMINATED", "TERMINATED_WITH_ERRORS") == "TERMINATED"
"""


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_on_the_local_emr(project: Path, run_pytest: Run, on_backend: tuple[str, ...]) -> None:
    (project / "test_it.py").write_text(SUITE)
    run_pytest(*on_backend).assert_passed(4)


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The variables of a machine whose programs write down that they were called, instead of what they would do."""
    programs, info = tmp_path / "bin", tmp_path / "info"
    programs.mkdir()
    info.mkdir()
    for name in ("aws", "sudo", "shutdown"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\nexit 1\n')
        program.chmod(0o755)
    (info / "instance.json").write_text('{\n  "isMaster": true,\n  "instanceGroupId": "ig-1"\n}')
    (info / "job-flow.json").write_text('{\n  "jobFlowId": "j-1ABC",\n  "masterInstanceId": "i-1"\n}')
    (info / "extraInstanceData.json").write_text('{"region": "eu-west-1", "numCandidates": 1}')
    names = {name: value for name, value in os.environ.items() if not name.startswith("ISOLATED_EMR_")}
    return names | {"PATH": f"{programs}:{os.environ['PATH']}"}


def run_script(
    tmp_path: Path, environ: dict[str, str], *, real: Path, seconds: float = 0.1
) -> subprocess.CompletedProcess[str]:
    """Run the script to the timer's end.

    :param real: what stands for the place that EMR's instances have.
    """
    # `sudo` is the last thing that is called, if it is; then the timer writes that it is over.
    text = lifetime.script().replace("/mnt/var/lib/info", str(real))
    assert text.count("\nfi\n'\n") == 1
    path = tmp_path / "lifetime.sh"
    path.write_text(text.replace("\nfi\n'\n", f"\nfi\ntouch {tmp_path}/over\n'\n"))
    return subprocess.run(
        ["bash", str(path), str(seconds), "0.1"], env=environ, capture_output=True, text=True, timeout=60
    )


def calls(tmp_path: Path) -> list[str]:
    deadline = time.monotonic() + 60
    while not (tmp_path / "over").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


TERMINATE = "aws emr terminate-clusters --region eu-west-1 --cluster-ids j-1ABC"


def test_on_an_instance_of_emr(machine, tmp_path):
    finished = run_script(tmp_path, machine, real=tmp_path / "info")
    assert finished.returncode == 0, finished.stderr
    assert "j-1ABC ends in" in finished.stdout
    assert calls(tmp_path) == [TERMINATE, "sudo shutdown -h now"]


def test_a_machine_that_is_none_of_emrs_is_never_shut_down(machine, tmp_path):
    environ = machine | {"ISOLATED_EMR_CLUSTER_INFO": str(tmp_path / "info")}
    assert run_script(tmp_path, environ, real=tmp_path / "nowhere").returncode == 0
    assert calls(tmp_path) == [TERMINATE]


def test_an_instance_of_emr_that_runs_a_local_one_is_never_shut_down(machine, tmp_path):
    environ = machine | {"ISOLATED_EMR_ANY": "1"}
    assert run_script(tmp_path, environ, real=tmp_path / "info").returncode == 0
    assert calls(tmp_path) == [TERMINATE]


def test_the_local_emrs_own_program_is_called_by_its_path(machine, tmp_path):
    (tmp_path / "cluster" / "bin").mkdir(parents=True)
    own = tmp_path / "cluster" / "bin" / "shutdown"
    own.write_text(f'#!/bin/sh\necho "own $*" >> {tmp_path}/calls\n')
    own.chmod(0o755)
    environ = machine | {
        "ISOLATED_EMR_CLUSTER_INFO": str(tmp_path / "info"),
        "ISOLATED_EMR_CLUSTER_DIRECTORY": str(tmp_path / "cluster"),
    }
    # Even where both are there.
    run_script(tmp_path, environ, real=tmp_path / "info")
    assert calls(tmp_path) == [TERMINATE, "own -h now"]


def test_other_instances_have_no_timer(machine, tmp_path):
    (tmp_path / "info" / "instance.json").write_text('{"isMaster": false}')
    finished = run_script(tmp_path, machine, real=tmp_path / "info")
    assert (finished.returncode, "not the primary" in finished.stdout) == (0, True)
    assert not (tmp_path / "over").exists()


def test_a_cluster_without_an_end_does_not_start(machine, tmp_path):
    (tmp_path / "info" / "job-flow.json").write_text("{}")
    finished = run_script(tmp_path, machine, real=tmp_path / "info")
    assert finished.returncode == 1
    assert "no jobFlowId" in finished.stderr


def test_the_timer_holds_neither_the_scripts_output_nor_its_session(machine, tmp_path):
    # subprocess.run returns when the output's other end is closed by all.
    finished = run_script(tmp_path, machine, real=tmp_path / "info", seconds=5)
    assert finished.returncode == 0
    assert not (tmp_path / "over").exists()
    assert calls(tmp_path)


def test_the_bootstrap_action():
    assert lifetime.bootstrap_action("s3://b/p/r/code/lifetime.sh", 7200) == {
        "Name": "isolated-emr lifetime",
        "ScriptBootstrapAction": {"Path": "s3://b/p/r/code/lifetime.sh", "Args": ["7200", "600"]},
    }
    with pytest.raises(ValueError, match="lifetime of 0"):
        lifetime.bootstrap_action("s3://b/k", 0)
