"""Clusters in containers of their own; the session gives each of these 1 GiB."""

import contextlib
import fcntl
import json
import os
import time

import boto3
import docker
import pytest
from docker.errors import NotFound
from pyspark.sql import SparkSession

emr = boto3.client("emr")
engine = docker.from_env()


def until(look, *wanted):
    deadline = time.monotonic() + 120
    while (seen := look()) not in wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


def container_of(cluster):
    """Return the container of a cluster; None if it has none."""
    found = engine.containers.list(all=True, filters={"name": f"cluster-{cluster}"})
    return found[0] if found else None


def state_of(cluster):
    return emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]


def step_state(cluster, step):
    return emr.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]["State"]


def add(cluster, script):
    step = {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]}
    step = {"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": step}
    return emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step])["StepIds"][0]


@pytest.fixture(scope="module", autouse=True)
def spark_is_there():
    """Then clusters know the image from there, and need no container to ask."""
    SparkSession.builder.getOrCreate()


def test_a_container_goes_with_its_cluster(make_cluster, run_step):
    cluster = make_cluster()
    assert container_of(cluster) is None
    run_step("bash", "-c", "setsid sleep 1000 > /dev/null 2>&1 &", cluster=cluster)
    assert container_of(cluster).status == "running"
    emr.terminate_job_flows(JobFlowIds=[cluster])
    until(lambda: state_of(cluster), "TERMINATED")
    assert container_of(cluster) is None


def test_clusters_do_not_see_each_other(make_cluster, run_step):
    one, other = make_cluster(), make_cluster()
    run_step("bash", "-c", "echo mine > $HOME/mine; echo mine > /tmp/mine", cluster=one)
    seen = run_step("bash", "-c", "ls $HOME/../..; ls $HOME; test ! -e /tmp/mine", cluster=other)
    assert seen.stdout.split() == [other]
    assert run_step("bash", "-c", "cat $HOME/mine /tmp/mine", cluster=one).stdout == "mine\nmine\n"


def test_a_container_is_as_small_as_the_sessions_others(make_cluster, run_step):
    cluster = make_cluster()
    run_step("true", cluster=cluster)
    settings = container_of(cluster).attrs["HostConfig"]
    assert settings["Memory"] == settings["MemorySwap"] == 1 << 30
    assert settings["CapDrop"] == ["ALL"]
    assert not settings["PortBindings"]
    assert settings["ReadonlyRootfs"]


def test_files_that_a_step_makes_are_the_users(run_step, scratch):
    run_step("bash", "-c", f"touch {scratch.path}/made")
    assert (scratch.path / "made").stat().st_uid == os.getuid()


def test_a_step_that_is_killed_for_memory(make_cluster, run_step):
    cluster = make_cluster()
    failed = run_step("python3", "-c", "b'x' * (2 << 30)", cluster=cluster, check=False)
    assert failed.state == "FAILED"
    assert (
        "killed for memory: the container may take 1024 MiB (--isolated-emr-docker-memory)" in failed.stderr
    )
    step = emr.describe_step(ClusterId=cluster, StepId=failed.step_id)["Step"]
    assert "killed for memory" in step["Status"]["FailureDetails"]["Message"]
    # Others are not blamed for it.
    other = run_step("false", cluster=cluster, check=False)
    assert other.stderr == ""


@pytest.mark.parametrize("how", ["removed", "killed"])
def test_a_container_that_somebody_ends_in_a_step(make_cluster, run_step, scratch, how):
    cluster = make_cluster()
    run_step("bash", "-c", "echo kept > $HOME/kept", cluster=cluster)
    step = add(cluster, f"touch {scratch.path}/runs; exec sleep 1000")
    until((scratch.path / "runs").exists, True)
    if how == "removed":
        container_of(cluster).remove(force=True)
    else:
        container_of(cluster).kill()
    assert until(lambda: step_state(cluster, step), "FAILED", "COMPLETED", "CANCELLED") == "FAILED"
    message = emr.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]["FailureDetails"]["Message"]
    assert "IE508: A container of the session has ended" in message
    # Docker kills what it removes: which of the two is seen first is chance.
    seen = ("was removed by somebody", "exit code 137") if how == "removed" else ("exit code 137",)
    assert any(words in message for words in seen)
    # The cluster goes on with another one, and what was in its directory.
    assert run_step("bash", "-c", "cat $HOME/kept", cluster=cluster).stdout == "kept\n"
    emr.terminate_job_flows(JobFlowIds=[cluster])
    until(lambda: state_of(cluster), "TERMINATED")
    assert container_of(cluster) is None


def test_pip_says_why_it_finds_nothing(make_cluster, scratch, s3, isolated_emr):
    script = (
        b"#!/bin/sh\nunset PIP_FIND_LINKS\npip install --index-url http://192.0.2.1/simple no-such-package\n"
    )
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/pip.sh", Body=script)
    action = {"Name": "pip", "ScriptBootstrapAction": {"Path": f"{scratch}/pip.sh"}}
    with pytest.raises(Exception, match="on-zero return code") as caught:
        make_cluster(BootstrapActions=[action])
    cluster = str(caught.value).partition("The cluster ")[2].partition(" ")[0]
    (log,) = (isolated_emr._session.directory / "clusters" / cluster).glob(
        "logs/node/*/bootstrap-actions/1/stderr"
    )
    assert "pip has no way out" in log.read_text()
    assert "--isolated-emr-docker-network=open" in log.read_text()


def test_the_controller_log_names_the_image(make_cluster, run_step):
    cluster = make_cluster(ReleaseLabel="emr-7.3.0")
    said = (run_step("true", cluster=cluster).log / "controller").read_text()
    assert "the container is of the session's image" in said
    assert "not of emr-7.3.0's own" in said


def test_an_absolute_path_of_the_image(run_step):
    """It is not one of this machine, perhaps."""
    assert run_step("/usr/bin/env", "printf", "here").stdout == "here"
    assert "No such file or directory" in run_step("/opt/none/at/all", check=False).stderr


def test_programs_bring_no_packages_into_jobs(run_step):
    script = "import json, sys; print(json.dumps(sys.path))"
    path = json.loads(run_step("python3", "-c", script).stdout)
    assert "/opt/isolated-emr" not in path


def test_jobs_have_the_packages_of_the_tests(run_step):
    assert run_step("python3", "-c", "import boto3; print(boto3.__file__)").stdout.strip() == boto3.__file__


def test_packages_that_are_not_in_the_cache(run_step):
    result = run_step("spark-submit", "--packages", "com.example:none:1.0", "s3://none/job.py", check=False)
    assert result.state == "FAILED"
    assert "isolated-emr: in a container there are the packages that the cache of jars has" in result.stderr


def test_more_sessions_than_ports(make_cluster, isolated_emr):
    cluster = make_cluster(ReleaseLabel="emr-spark-8.0.0", SessionEnabled=True)
    directory = isolated_emr._session.directory / "clusters" / cluster / "sessions"
    with contextlib.ExitStack() as held:
        for port in range(15002, 15010):
            fcntl.flock(held.enter_context((directory / f"{port}.lock").open("w")), fcntl.LOCK_EX)
        session = emr.start_session(ClusterId=cluster, Name="s")["Id"]

        def look():
            return emr.get_session(ClusterId=cluster, SessionId=session)["Session"]

        assert until(lambda: look()["State"], "FAILED", "IDLE") == "FAILED"
        assert "IE530: The cluster has 8 sessions already" in look()["StateChangeReason"]
    published = container_of(cluster).attrs["HostConfig"]["PortBindings"]
    assert {place["HostIp"] for places in published.values() for place in places} == {"127.0.0.1"}


def test_a_session_whose_container_ends(make_cluster):
    cluster = make_cluster(ReleaseLabel="emr-spark-8.0.0", SessionEnabled=True)
    settings = [{"Classification": "spark-defaults", "Properties": {"spark.driver.memory": "512m"}}]
    session = emr.start_session(ClusterId=cluster, Name="s", EngineConfigurations=settings)["Id"]

    def look():
        return emr.get_session(ClusterId=cluster, SessionId=session)["Session"]

    assert until(lambda: look()["State"], "FAILED", "IDLE") == "IDLE"
    endpoint = emr.get_session_endpoint(ClusterId=cluster, SessionId=session)["Endpoint"]
    assert endpoint.startswith("http://127.0.0.1:")
    container_of(cluster).kill()
    assert until(lambda: look()["State"], "FAILED", "TERMINATED") == "FAILED"
    assert "IE508: A container of the session has ended" in look()["StateChangeReason"]


def test_a_cluster_that_is_ended_while_its_container_starts(make_cluster):
    made = [make_cluster() for _ in range(3)]
    for cluster in made:
        add(cluster, "exec sleep 1000")
    emr.terminate_job_flows(JobFlowIds=made)
    for cluster in made:
        until(lambda cluster=cluster: state_of(cluster), "TERMINATED")
        with contextlib.suppress(NotFound):
            assert container_of(cluster) is None
