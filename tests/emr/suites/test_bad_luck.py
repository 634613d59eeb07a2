"""Steps that go wrong as steps do; no step needs Spark."""

import gzip
import json
import sys
import time
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from processes import assert_gone, process_of

emr = boto3.client("emr")
ENDED = ("COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED")


def bash(script, action="CONTINUE"):
    jar_step = {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]}
    return {"Name": "bash", "ActionOnFailure": action, "HadoopJarStep": jar_step}


def until(look, *wanted):
    deadline = time.monotonic() + 120
    while (state := look()["State"]) not in wanted:
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return look()


def cluster_status(cluster):
    return emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]


def step_status(cluster, step):
    return emr.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]


def written(path):
    """Wait for the numbers that a process writes into a file."""
    deadline = time.monotonic() + 60
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline, f"nothing in {path}"
        time.sleep(0.02)
    return [int(number) for number in path.read_text().split()]


class Peak:
    """The most memory that a process used since this was made, in bytes; Linux tells."""

    def __init__(self, process):
        self._directory = Path("/proc", str(process.pid))
        (self._directory / "clear_refs").write_text("5")
        self._start = self._most()

    def growth(self):
        return self._most() - self._start

    def _most(self):
        lines = (self._directory / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


@pytest.fixture
def endpoint(isolated_emr):
    started = json.loads((isolated_emr._session.directory / "session.json").read_text())
    keeper = psutil.Process(started["keeper"]["pid"])
    return next(child for child in keeper.children() if "pytest_isolated_emr.aws.endpoint" in child.cmdline())


def test_a_step_that_prints_200_megabytes(make_cluster, run_step, s3, scratch, endpoint):
    cluster = make_cluster(LogUri=f"s3://{scratch.bucket}/{scratch.prefix}/logs")
    peak = Peak(endpoint) if sys.platform == "linux" else None
    before = endpoint.memory_info().rss
    size = 200_000_000
    result = run_step("bash", "-c", f"seq 1 30000000 | head -c {size}; echo last >&2", cluster=cluster)
    if peak is not None:
        # What it is compressed to, for a moment; never the log itself, which alone is more.
        assert peak.growth() < size * 0.75
    assert endpoint.memory_info().rss - before < size * 0.25
    assert len(result.stdout) == size
    assert result.stderr == "last\n"
    key = f"{scratch.prefix}/logs/{cluster}/steps/{result.step_id}/stdout.gz"
    stored = s3.get_object(Bucket=scratch.bucket, Key=key)["Body"]
    count = 0
    with gzip.open(stored) as plain:
        while block := plain.read(1 << 20):
            count += len(block)
    assert count == size


@pytest.mark.parametrize("option", ["TERMINATE_PROCESS", "the cluster's end"])
def test_a_step_that_forks_and_hangs(make_cluster, tmp_path, option):
    cluster = make_cluster()
    # The child has a session of its own, and takes no SIGTERM.
    child = "trap '' TERM; echo $$ $PPID > PIDS.new; mv PIDS.new PIDS; while true; do read -t 1000 < <(sleep 1000); done"
    script = f"cd {tmp_path}; setsid bash -c '{child.replace(chr(39), chr(34))}' & wait"
    step = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[bash(script)])["StepIds"][0]
    pids = written(tmp_path / "PIDS")
    assert all(process_of(cluster, pid) is not None for pid in pids)
    if option == "TERMINATE_PROCESS":
        emr.cancel_steps(ClusterId=cluster, StepIds=[step], StepCancellationOption=option)
        assert until(lambda: step_status(cluster, step), *ENDED)["State"] == "CANCELLED"
        assert cluster_status(cluster)["State"] in ("RUNNING", "WAITING")
    else:
        emr.terminate_job_flows(JobFlowIds=[cluster])
        until(lambda: cluster_status(cluster), "TERMINATED")
    for pid in pids:
        assert_gone(cluster, pid)


@pytest.mark.parametrize("number", [9, 11, 15])
def test_a_step_killed_by_a_signal(run_step, number):
    result = run_step("bash", "-c", f"kill -{number} $$", check=False)
    assert result.state == "FAILED"
    assert f"Step failed with exitCode {128 + number}" in (result.log / "controller").read_text()


def test_a_step_whose_child_is_killed_goes_on(run_step):
    result = run_step("bash", "-c", "sleep 1000 & kill -9 $!; wait $!; echo $?")
    assert result.stdout == "137\n"


@pytest.mark.parametrize("level", [1, 10])
def test_300_steps_at_once(make_cluster, tmp_path, level):
    cluster = make_cluster(StepConcurrencyLevel=level)
    gate = tmp_path / "gate"
    # The first ones hold the others, so that no step makes room while all are added.
    first = [bash(f"while [ ! -e {gate} ]; do sleep 0.05; done") for _ in range(level)]
    steps = [*first, *(bash(f"echo {number} >> {tmp_path}/ran") for number in range(300 - level))]
    for step in steps[:256]:
        emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step])
    for step in steps[256:]:
        with pytest.raises(ClientError, match="Maximum number of active steps"):
            emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step])
    gate.touch()
    until(lambda: cluster_status(cluster), "WAITING")
    pages = emr.get_paginator("list_steps").paginate(ClusterId=cluster)
    states = [step["Status"]["State"] for page in pages for step in page["Steps"]]
    assert states == ["COMPLETED"] * 256
    ran = [int(line) for line in (tmp_path / "ran").read_text().split()]
    assert sorted(ran) == list(range(256 - level))
    if level == 1:
        assert ran == sorted(ran)


def test_a_script_that_is_missing(run_step, scratch):
    result = run_step("spark-submit", f"{scratch}/none.py", check=False)
    assert result.state == "FAILED"
    assert f"No such file or directory: {scratch}/none.py" in result.stderr
    cluster = result.cluster_id
    for url in (f"{scratch}/none.sh", "s3://no-such-bucket/none.sh"):
        jar = "s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar"
        step = {"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": jar, "Args": [url]}}
        step_id = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step])["StepIds"][0]
        assert until(lambda step_id=step_id: step_status(cluster, step_id), *ENDED)["State"] == "FAILED"


def test_a_log_bucket_that_does_not_exist(make_cluster, run_step, s3, scratch):
    """Neither a bootstrap action nor a step nor the cluster comes to harm."""
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/ok.sh", Body=b"#!/bin/sh\necho done\n")
    action = {"Name": "ok", "ScriptBootstrapAction": {"Path": f"{scratch}/ok.sh"}}
    cluster = make_cluster(LogUri="s3://no-such-bucket/logs", BootstrapActions=[action])
    result = run_step("echo", "x", cluster=cluster)
    assert "was not stored" in (result.log / "controller").read_text()
    failed = run_step("false", cluster=cluster, check=False)
    details = step_status(cluster, failed.step_id)["FailureDetails"]
    assert details["LogFile"] == f"s3://no-such-bucket/logs/{cluster}/steps/{failed.step_id}/stderr.gz"
    emr.terminate_job_flows(JobFlowIds=[cluster])
    assert until(lambda: cluster_status(cluster), "TERMINATED")["State"] == "TERMINATED"


def test_output_that_is_no_text(run_step):
    result = run_step("bash", "-c", r"printf '\377\000x'; printf '\377' >&2; exit 1", check=False)
    assert result.state == "FAILED"
    assert result.stdout.endswith("\0x")


def test_a_step_with_odd_arguments(run_step):
    result = run_step("printf", "%s|", "", "two words", "a'b\"c", "$HOME", "ü", "line\nbreak")
    assert result.stdout == "|two words|a'b\"c|$HOME|ü|line\nbreak|"
