"""Clusters of tests on AWS, for which a local EMR stands: it really runs them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import lifetime, tags
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.terms import ClusterTerms
from tests.conftest import UNDER_ONE_SPARK
from tests.emr_backend.s3_endpoint import Scratch
from tests.emr_backend.session_on_aws import SessionOnAws

QUICK = Pace(poll=0.05, longest_poll=0.2, settle=5)
#: A second way of saying which instances there are.
FLEETS = {
    "InstanceFleets": [
        {
            "InstanceFleetType": "MASTER",
            "TargetOnDemandCapacity": 1,
            "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}],
        }
    ]
}


@pytest.fixture
def aws(scratch: Scratch, tmp_path: Path) -> Iterator[SessionOnAws]:
    session = SessionOnAws(scratch, tmp_path)
    yield session
    session.end()


def assert_all_end(aws: SessionOnAws) -> None:
    """What is terminated ends in its own time."""
    deadline = time.monotonic() + 120
    while not set(states := aws.named().values()) <= {"TERMINATED", "TERMINATED_WITH_ERRORS"}:
        assert time.monotonic() < deadline, states
        time.sleep(0.05)
    assert len(states) == 1


def put_script(aws: SessionOnAws, text: str) -> str:
    aws.scratch.put(f"{aws.scratch.prefix}/{aws.run_id}/code/own.sh", f"#!/bin/sh\n{text}\n".encode())
    return f"{aws.place}/code/own.sh"


def action(aws: SessionOnAws, text: str) -> dict[str, Any]:
    return {"Name": "own", "ScriptBootstrapAction": {"Path": put_script(aws, text)}}


# Steps, on the session's own cluster.


def test_the_shared_cluster_is_the_sessions_own(aws: SessionOnAws):
    clusters = aws.clusters(pace=QUICK)
    cluster = clusters.shared_cluster()
    assert cluster == aws.own
    assert aws.asked[0] == "start_cluster"
    assert aws.asked[-2:] == ["waits_for", "cluster_id"]
    assert clusters.shared_cluster() == cluster
    assert list(aws.named()) == [f"isolated-emr {aws.run_id}"]
    assert aws.intended == []


def test_a_step_that_completes(aws: SessionOnAws):
    calls: list[str] = []
    aws.on_client = lambda service, client: client.meta.events.register(
        "before-call", lambda model, **_kwargs: calls.append(model.name)
    )
    clusters = aws.clusters(pace=QUICK)
    cluster = clusters.shared_cluster()
    result = clusters.run_step(cluster, "sh", "-c", "echo out; echo err >&2", name="said")
    assert set(calls) == {"AddJobFlowSteps", "DescribeStep", "DescribeCluster"}
    assert (result.cluster_id, result.state, result.duration > 0) == (cluster, "COMPLETED", True)
    assert str(result.log) == f"{aws.place}/logs/{cluster}/steps/{result.step_id}"
    assert "ListObjectsV2" not in calls
    assert result.stdout == "out\n"
    count = len(calls)
    assert result.stdout == "out\n"
    assert len(calls) == count
    assert result.stderr == "err\n"
    assert "Step succeeded with exitCode 0" in (result.log / "controller").read_text()
    assert str(result.log / "controller") == f"{result.log}/controller"
    assert aws.emr.describe_step(ClusterId=cluster, StepId=result.step_id)["Step"]["Name"] == "said"
    [(title, text)] = clusters.report()
    assert title == f"EMR step {result.step_id} (COMPLETED)"
    assert "err\n" in text
    clusters.forget()
    assert clusters.report() == []


def test_a_step_is_looked_at_with_pauses_that_get_longer(aws: SessionOnAws):
    calls: list[str] = []
    pauses: list[float] = []
    end = aws.directory / "end"

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) >= 6:
            end.touch()
            time.sleep(0.05)

    aws.on_client = lambda service, client: client.meta.events.register(
        "before-call.emr.DescribeStep", lambda model, **_kwargs: calls.append(model.name)
    )
    cluster = aws.clusters(pace=QUICK).shared_cluster()
    aws.clusters(pause=pause).run_step(cluster, "sh", "-c", f"until [ -e {end} ]; do sleep 0.02; done")
    assert pauses[:7] == [1, 2, 4, 8, 15, 15, 15][: len(pauses)]
    assert len(calls) == len(pauses) + 1


def test_a_step_that_fails(aws: SessionOnAws):
    clusters = aws.clusters(pace=QUICK)
    command = ("sh", "-c", "echo before; echo 'Error: no such table' >&2; exit 3")
    with pytest.raises(errors.StepFailed) as failed:
        clusters.run_step(clusters.shared_cluster(), *command)
    error = failed.value
    assert error.what.endswith(" ended as FAILED: sh -c echo before; echo 'Error: no such table' >&2; exit 3")
    assert "EMR says: Unknown Error. Error: no such table" in error.checked
    assert "standard error ends with:\nError: no such table" in error.checked
    step = aws.emr.list_steps(ClusterId=aws.own)["Steps"][0]
    assert f"the log that it names: {aws.place}/logs/{aws.own}/steps/{step['Id']}/stderr.gz" in error.checked
    kept = aws.directory / "kept" / "clusters" / aws.own / "steps" / step["Id"]
    assert f"the whole log: {kept}" in error.checked
    result = clusters.run_step(aws.own, *command, check=False)
    assert (result.state, result.stdout) == ("FAILED", "before\n")
    assert [text.splitlines()[1] for _, text in clusters.report()] == ["Error: no such table"] * 2


@pytest.mark.parametrize("mode", ["client", "cluster"])
@pytest.mark.spark
@UNDER_ONE_SPARK
def test_where_the_driver_logs(aws: SessionOnAws, mode: str):
    job = "import sys; print('of the driver'); print('why', file=sys.stderr); sys.exit(len(sys.argv) - 1)"
    key = f"{aws.scratch.prefix}/{aws.run_id}/scratch/job.py"
    aws.scratch.put(key, job.encode())
    clusters = aws.clusters(pace=QUICK)
    command = ("spark-submit", "--deploy-mode", mode, f"s3://{aws.scratch.bucket}/{key}")
    result = clusters.run_step(clusters.shared_cluster(), *command)
    assert "of the driver" in result.stdout
    assert "Step succeeded" in (result.log / "controller").read_text()
    assert ("FINISHED" in (result.log / "stderr").read_text()) == (mode == "cluster")
    failed = clusters.run_step(aws.own, *command, "x", check=False)
    assert (failed.state, "of the driver" in failed.stdout) == ("FAILED", True)


def test_a_cluster_that_ends_in_mid_step(aws: SessionOnAws):
    clusters = aws.clusters(pace=QUICK, pause=time.sleep)
    cluster = clusters.shared_cluster()

    def end(seconds: float) -> None:
        if aws.emr.list_steps(ClusterId=cluster, StepStates=["RUNNING"])["Steps"]:
            aws.emr.terminate_job_flows(JobFlowIds=[cluster])
        time.sleep(seconds)

    with pytest.raises(errors.StepFailed) as failed:
        aws.clusters(pace=QUICK, pause=end).run_step(cluster, "sleep", "600")
    assert "the cluster is TERMINAT" in failed.value.checked
    assert "USER_REQUEST: Terminated by user request" in failed.value.checked


def test_a_step_that_stays_on_a_cluster_that_has_ended(aws: SessionOnAws):
    """Not a step of the local EMR, which ends them all."""
    cluster = aws.clusters(pace=QUICK).shared_cluster()

    def still(parsed: dict[str, Any], **_kwargs: Any) -> None:
        parsed["Step"]["Status"]["State"] = "PENDING"

    def on_client(service: str, client: Any) -> None:
        client.meta.events.register("after-call.emr.DescribeStep", still)

    aws.on_client = on_client
    clusters = aws.clusters(
        pace=QUICK, pause=lambda _seconds: aws.emr.terminate_job_flows(JobFlowIds=[cluster])
    )
    with pytest.raises(errors.ClusterEnded, match="the step is PENDING; the cluster is TERMINAT"):
        clusters.run_step(cluster, "true")


# Clusters of tests.


def test_a_cluster_of_a_test(aws: SessionOnAws):
    aws.settings = {"tags": {"team": "etl", "cost": "1"}, "subnet": "subnet-01234567", "log_uri": None}
    clusters = aws.clusters(pace=QUICK)
    configurations = [{"Classification": "spark-defaults", "Properties": {"spark.a": "b"}}]
    cluster = clusters.make_cluster(
        Name="nightly run",
        Configurations=configurations,
        Tags=[{"Key": "cost", "Value": "2"}, {"Key": tags.RUN_ID, "Value": "forged"}],
        AutoTerminationPolicy={"IdleTimeout": 9000},
        BootstrapActions=[action(aws, "exit 0")],
        Instances={"TerminationProtected": True, **FLEETS},
    )
    name = f"isolated-emr {aws.run_id} main-1 nightly run"
    assert aws.intended == [name]
    assert aws.named() == {name: "WAITING"}
    described = aws.describe(cluster)
    told = tags.values_of(described["Tags"])
    assert told.items() >= tags.values_of(aws.terms.identity.tags()).items()
    assert {key: told[key] for key in ("team", "cost")} == {"team": "etl", "cost": "2"}
    policy = aws.emr.get_auto_termination_policy(ClusterId=cluster)["AutoTerminationPolicy"]
    assert policy == {"IdleTimeout": 900}
    actions = aws.emr.list_bootstrap_actions(ClusterId=cluster)["BootstrapActions"]
    assert [each["Name"] for each in actions] == [lifetime.NAME, "own"]
    assert actions[0]["Args"][0] == "7200"
    assert described["LogUri"] == f"s3n://{aws.place.removeprefix('s3://')}/logs/"
    assert (described["TerminationProtected"], described["AutoTerminate"]) == (False, False)
    assert described["InstanceCollectionType"] == "INSTANCE_FLEET"
    assert described["Ec2InstanceAttributes"]["RequestedEc2SubnetIds"] == ["subnet-01234567"]
    assert described["Configurations"] == configurations
    assert clusters.run_step(cluster, "echo", "x").stdout == "x\n"
    clusters.terminate(cluster)
    assert_all_end(aws)


def test_clusters_have_names_of_their_own(aws: SessionOnAws):
    clusters = aws.clusters(pace=QUICK)
    for _ in range(2):
        clusters.make_cluster()
    aws.worker = "gw1"
    aws.clusters(pace=QUICK).make_cluster(Name="x" * 256)
    assert aws.intended == [
        f"isolated-emr {aws.run_id} main-1",
        f"isolated-emr {aws.run_id} main-2",
        f"isolated-emr {aws.run_id} gw1-1 {'x' * 256}"[:256],
    ]
    assert sorted(aws.named()) == sorted(aws.intended)


def test_a_bootstrap_action_that_fails(aws: SessionOnAws):
    clusters = aws.clusters(pace=QUICK)
    with pytest.raises(errors.ClusterFailed) as failed:
        clusters.make_cluster(BootstrapActions=[action(aws, "exit 7")])
    error = failed.value
    assert "bootstrap action 2 returned a non-zero return code" in error.what
    assert "TERMINATED_WITH_ERRORS: BOOTSTRAP_FAILURE: On the master" in error.checked
    assert "; BOOTSTRAP_FAILURE_" in error.checked
    assert f"the whole log: {aws.directory}/kept/clusters/j-" in error.checked
    assert "node/INSTANCE/bootstrap-actions/NUMBER/" in error.cure
    assert set(aws.named().values()) == {"TERMINATED_WITH_ERRORS"}


def test_a_cluster_that_is_not_ready_in_time(aws: SessionOnAws):
    said: list[str] = []
    clusters = aws.clusters(pace=Pace(poll=0.05, longest_poll=0.2, start=3), say=said.append)
    with pytest.raises(errors.ClusterFailed, match="was not ready in time") as failed:
        clusters.make_cluster(BootstrapActions=[action(aws, "sleep 600")])
    assert "after 3 seconds it is BOOTSTRAPPING" in failed.value.checked
    assert_all_end(aws)
    assert f"the cluster {aws.made[0]} ({aws.intended[0]}) is BOOTSTRAPPING" in said[-1]


def test_one_that_is_given_up_while_it_starts_is_ended(aws: SessionOnAws):
    def give_up(_seconds: float) -> None:
        if aws.named():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        aws.clusters(pace=QUICK, pause=give_up).make_cluster(BootstrapActions=[action(aws, "sleep 600")])
    assert_all_end(aws)


def test_a_cluster_that_aws_does_not_take(aws: SessionOnAws):
    with pytest.raises(errors.ClusterRefused) as refused:
        aws.clusters(pace=QUICK).make_cluster(ReleaseLabel="emr-7.99.0")
    assert "RunJobFlow: AWS says ValidationException" in refused.value.checked
    assert "--isolated-emr-release" in refused.value.cure
    assert aws.named() == {}


# RunJobFlow, whose answer may be lost.


def lose(aws: SessionOnAws, *, after_effect: bool, times: int) -> None:
    left = [None] * times

    def before(request: Any, **_kwargs: Any) -> None:
        if left:
            left.pop()
            if after_effect:
                URLLib3Session().send(request)
            raise ConnectionClosedError(endpoint_url=request.url)

    def on_client(service: str, client: Any) -> None:
        if service == "emr":
            client.meta.events.register("before-send.emr.RunJobFlow", before)

    aws.on_client = on_client


def test_an_answer_that_is_lost(aws: SessionOnAws):
    lose(aws, after_effect=True, times=9)
    cluster = aws.clusters(pace=QUICK).make_cluster()
    assert aws.named() == {aws.intended[0]: "WAITING"}
    assert aws.describe(cluster)["Name"] == aws.intended[0]


def test_a_request_that_is_lost(aws: SessionOnAws):
    lose(aws, after_effect=False, times=1)
    pauses: list[float] = []
    with pytest.raises(errors.LaunchUncertain) as uncertain:
        aws.clusters(pace=Pace(), pause=pauses.append).make_cluster()
    assert aws.intended[0] in uncertain.value.checked
    assert sum(pauses) >= Pace().settle
    assert aws.named() == {}


def test_a_cluster_that_is_listed_late(aws: SessionOnAws):
    lose(aws, after_effect=True, times=1)
    lossy, looks = aws.on_client, [None] * 3

    def hide(parsed: dict[str, Any], **_kwargs: Any) -> None:
        if looks:
            looks.pop()
            parsed["Clusters"] = []

    def on_client(service: str, client: Any) -> None:
        lossy(service, client)
        client.meta.events.register("after-call.emr.ListClusters", hide)

    aws.on_client = on_client
    aws.clusters(pace=QUICK).make_cluster()
    assert aws.named() == {aws.intended[0]: "WAITING"}


def test_a_cluster_whose_tags_come_late(aws: SessionOnAws):
    lose(aws, after_effect=True, times=1)
    lossy, looks = aws.on_client, [None] * 3

    def hide(parsed: dict[str, Any], **_kwargs: Any) -> None:
        if looks:
            looks.pop()
            parsed["Cluster"]["Tags"] = []

    def on_client(service: str, client: Any) -> None:
        lossy(service, client)
        client.meta.events.register("after-call.emr.DescribeCluster", hide)

    aws.on_client = on_client
    aws.clusters(pace=QUICK).make_cluster()
    assert looks == []
    assert aws.named() == {aws.intended[0]: "WAITING"}


def test_a_namesake_without_the_runs_tags_is_not_the_cluster(aws: SessionOnAws):
    """Somebody else has made it, at the moment in which the request gets lost."""
    namesakes: list[str] = []

    def lose_request(request: Any, **_kwargs: Any) -> None:
        asked = {**aws.asked_cluster(), "Name": aws.intended[0]}
        namesakes.append(aws.emr.run_job_flow(**asked)["JobFlowId"])
        raise ConnectionClosedError(endpoint_url=request.url)

    def on_client(service: str, client: Any) -> None:
        client.meta.events.register(f"before-send.{service}.RunJobFlow", lose_request)

    aws.on_client = on_client
    with pytest.raises(errors.LaunchUncertain) as uncertain:
        aws.clusters(pace=Pace(poll=0.05, longest_poll=0.1, settle=0.2)).make_cluster()
    assert f"{namesakes[0]}: it has the name" in uncertain.value.checked
    assert "not the run's tags" in uncertain.value.checked


def throttle(aws: SessionOnAws, times: int) -> None:
    left = [None] * times

    def before(**_kwargs: Any) -> tuple[Any, Any] | None:
        if not left:
            return None
        left.pop()
        parsed = {
            "Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"},
            "ResponseMetadata": {"HTTPStatusCode": 400},
        }
        return AWSResponse("", 400, {}, None), parsed

    aws.on_client = lambda service, client: client.meta.events.register("before-call.emr.RunJobFlow", before)


def test_a_request_that_is_throttled(aws: SessionOnAws):
    throttle(aws, 3)
    aws.clusters(pace=QUICK).make_cluster()
    assert aws.named() == {aws.intended[0]: "WAITING"}


def test_a_request_that_is_always_throttled(aws: SessionOnAws):
    throttle(aws, 10**6)
    with pytest.raises(errors.AwsUnreachable, match="Rate exceeded"):
        aws.clusters(pace=Pace(), pause=lambda _seconds: None).make_cluster()
    assert aws.named() == {}


def test_terms_as_a_message(aws: SessionOnAws):
    message = aws.terms.to_message()
    assert set(message) == {
        "owner",
        "host",
        "expiry",
        "place",
        "idle_minutes",
        "most_minutes",
        "log_uri",
    }
    assert ClusterTerms.from_message(aws.run_id, message) == aws.terms
