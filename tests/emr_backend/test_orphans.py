"""Sweep across machines: what goes, what is reported, what is not even looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.lease import Lease, LeaseBody, read_lease
from pytest_isolated_emr.backends.emr.orphans import Orphan, Report, sweep
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.prefix import RunPrefix
from pytest_isolated_emr.backends.emr.slots import Slots, list_slots
from pytest_isolated_emr.backends.emr.tags import PLACE, RUN_ID, SessionIdentity, name_of, run_id_of
from pytest_isolated_emr.backends.emr.termination import terminate
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from tests.emr_backend.s3_endpoint import Scratch, Server

SECONDS = 900.0
LAPSED = timedelta(seconds=SECONDS + 10)
QUICK = Pace(poll=0.05, longest_poll=0.2)
INSTANCES = {
    "MasterInstanceType": "m5.xlarge",
    "SlaveInstanceType": "m5.xlarge",
    "InstanceCount": 1,
    "KeepJobFlowAliveWhenNoSteps": True,
}


class Machine:
    """Another machine of the account, on which sessions run."""

    def __init__(self, scratch: Scratch, at_end: list[str]) -> None:
        self.account = scratch.another_account()
        self.scratch = scratch
        self._at_end = at_end

    def prefix(self, run_id: str) -> RunPrefix:
        return RunPrefix(self.account, self.scratch.bucket, self.scratch.prefix, run_id)

    def lease(self, run_id: str) -> Lease:
        body = LeaseBody.of_this_process(run_id, "alice", SECONDS)
        lease = Lease(self.account, self.scratch.bucket, self.prefix(run_id).lease_key, body)
        lease.take()
        return lease

    def slot(self, run_id: str) -> Lease:
        body = LeaseBody.of_this_process(run_id, "alice", SECONDS)
        slot = Slots(self.account, self.scratch.bucket, self.scratch.prefix, 5, body).try_claim()
        assert slot is not None
        return slot

    def objects(self, run_id: str) -> None:
        for name in ("scratch/a", "logs/b"):
            self.scratch.put(self.prefix(run_id).key(name))

    def cluster(
        self,
        run_id: str,
        *,
        expires: timedelta = timedelta(hours=2),
        place: str | None = None,
        change: Callable[[dict[str, Any]], Any] = lambda request: None,
        protected: bool = False,
        which: str = "",
    ) -> str:
        expiry = datetime.now(timezone.utc) + expires
        identity = SessionIdentity(run_id, "alice", "laptop", expiry, place or self.prefix(run_id).uri)
        request: dict[str, Any] = {
            "Name": name_of(run_id, which),
            "ReleaseLabel": "emr-7.10.0",
            "Instances": {**INSTANCES, "TerminationProtected": protected},
            "JobFlowRole": "EMR_EC2_DefaultRole",
            "ServiceRole": "EMR_DefaultRole",
            "Tags": identity.tags(),
        }
        change(request)
        cluster = str(self.account.client("emr").run_job_flow(**request)["JobFlowId"])
        self._at_end.append(cluster)
        return cluster

    def state(self, cluster: str) -> str:
        described = self.account.client("emr").describe_cluster(ClusterId=cluster)
        return str(described["Cluster"]["Status"]["State"])


@pytest.fixture
def machine(scratch: Scratch) -> Iterator[Machine]:
    clusters: list[str] = []
    machine = Machine(scratch, clusters)
    yield machine
    for cluster in clusters:
        described = machine.account.client("emr").describe_cluster(ClusterId=cluster)
        terminate(machine.account, described["Cluster"], QUICK)


@pytest.fixture
def swept(scratch: Scratch) -> Callable[..., Report]:
    def swept(*, delete: bool = True) -> Report:
        return sweep(scratch.account, scratch.bucket, scratch.prefix, delete=delete, pace=QUICK)

    return swept


def names(orphans: list[Orphan]) -> list[str]:
    return [orphan.name for orphan in orphans]


def tag(key: str, value: str) -> Callable[[dict[str, Any]], None]:
    """Change a tag of a request's."""

    def change(request: dict[str, Any]) -> None:
        request["Tags"] = [
            {"Key": key, "Value": value} if pair["Key"] == key else pair for pair in request["Tags"]
        ]

    return change


def test_nothing_there(swept):
    assert swept() == Report(deleted=True)


def test_a_live_session_is_left_alone(swept, machine: Machine, scratch: Scratch, server: Server):
    run_id = new_run_id()
    lease, slot, cluster = machine.lease(run_id), machine.slot(run_id), machine.cluster(run_id)
    machine.objects(run_id)
    before = scratch.everything()
    # Whatever time it is for S3, and however near the end.
    server.ahead, server.aged = timedelta(days=90), timedelta(seconds=SECONDS)
    assert swept() == Report(deleted=True)
    assert scratch.everything() == before
    assert machine.state(cluster) != "TERMINATED"
    lease.renew()
    slot.renew()


def test_a_live_session_beyond_its_clusters_expiry(swept, machine: Machine):
    """The lease decides."""
    run_id = new_run_id()
    machine.lease(run_id)
    cluster = machine.cluster(run_id, expires=timedelta(hours=-1))
    assert swept() == Report(deleted=True)
    assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")


@pytest.mark.parametrize("versioned", [False, True])
def test_a_lapsed_session_goes(swept, machine: Machine, scratch: Scratch, server: Server, versioned: bool):
    if versioned:
        scratch.version_all()
    run_id = new_run_id()
    scratch.put(f"{scratch.prefix}/table/part-0")
    neighbours = scratch.everything()
    lease, slot = machine.lease(run_id), machine.slot(run_id)
    cluster = machine.cluster(run_id, protected=True)
    machine.objects(run_id)
    server.aged = LAPSED
    everything = [cluster, f"{machine.prefix(run_id).uri}/", slot.uri]
    planned = swept(delete=False)
    assert names(planned.removed) == everything
    assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")
    report = swept()
    assert (names(report.removed), report.failed, report.reported) == (everything, [], [])
    assert {orphan.owner for orphan in report.removed} == {"alice"}
    assert machine.state(cluster) == "TERMINATED"
    assert scratch.everything() == neighbours
    with pytest.raises(errors.LeaseLapsed):
        lease.renew()
    assert swept() == Report(deleted=True)


def test_clusters_of_its_tests_go_too(swept, machine: Machine, scratch: Scratch, server: Server):
    """They are of the run by name and tags as its own is."""
    lapsed, live, without = new_run_id(), new_run_id(), new_run_id()
    machine.lease(lapsed)
    gone = [
        machine.cluster(lapsed),
        *(machine.cluster(lapsed, which=name) for name in ("gw0-1", "main-2 a b")),
    ]
    expired = machine.cluster(without, which="main-1", expires=timedelta(seconds=-30))
    wanted = machine.cluster(live, which="main-1")
    untagged = machine.cluster(live, which="x", change=lambda request: request.pop("Tags"))
    server.aged = LAPSED
    report = swept()
    assert sorted(names(report.removed)) == sorted([*gone, expired, f"{machine.prefix(lapsed).uri}/"])
    assert (names(report.reported), report.failed) == ([untagged], [])
    assert {machine.state(cluster) for cluster in [*gone, expired]} == {"TERMINATED"}
    for cluster in (wanted, untagged):
        assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")


@pytest.mark.parametrize("which", ["", "gw0-1", "main-2 a b", " x" * 200])
def test_names(which: str):
    run_id = new_run_id()
    name = name_of(run_id, which)
    assert len(name) <= 256
    assert run_id_of(name) == run_id


@pytest.mark.parametrize(
    "name",
    [
        "nightly",
        "isolated-emr",
        "isolated-emr ",
        "isolated-emr mine",
        "isolated-emr 20261123t211623-9f3c2ax",
        "isolated-emr 20261123t211623-9f3c2a-x",
        "isolated-emr  20261123t211623-9f3c2a",
        "isolated-emr\t20261123t211623-9f3c2a",
        "my isolated-emr 20261123t211623-9f3c2a",
        "20261123t211623-9f3c2a",
    ],
)
def test_names_of_others(name: str):
    assert run_id_of(name) is None


def test_only_the_lapsed_one_of_two_goes(swept, machine: Machine, scratch: Scratch, server: Server):
    lapsed, live = new_run_id(), new_run_id()
    for run_id in (lapsed, live):
        machine.lease(run_id)
        machine.objects(run_id)
    clusters = [machine.cluster(lapsed), machine.cluster(live)]

    def choose(params: dict[str, Any], **_kwargs: Any) -> None:
        server.aged = LAPSED if lapsed in params["Key"] else timedelta()

    scratch.s3.meta.events.register("provide-client-params.s3.GetObject", choose)
    report = swept()
    assert names(report.removed) == [clusters[0], f"{machine.prefix(lapsed).uri}/"]
    assert machine.state(clusters[1]) not in ("TERMINATING", "TERMINATED")
    left = {key.split("/")[2] for key, _ in scratch.everything()}
    assert left == {live}


def test_one_that_wakes_up_before_the_second_look(swept, machine: Machine, scratch: Scratch, server: Server):
    run_id = new_run_id()
    lease, cluster = machine.lease(run_id), machine.cluster(run_id)
    server.aged = LAPSED
    looks = iter(range(9))

    def wake(**_kwargs: Any) -> None:
        if next(looks) == 1:
            lease.renew()

    scratch.s3.meta.events.register("before-call.s3.GetObject", wake)
    assert swept() == Report(deleted=True)
    assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")
    lease.renew()


def test_one_that_wakes_up_after_it(swept, machine: Machine, scratch: Scratch, server: Server):
    run_id = new_run_id()
    lease, cluster = machine.lease(run_id), machine.cluster(run_id)
    server.aged = LAPSED
    woken: list[int] = []

    def wake(**_kwargs: Any) -> None:
        if not woken:
            woken.append(1)
            lease.renew()

    scratch.s3.meta.events.register("before-call.s3.PutObject", wake)
    assert swept() == Report(deleted=True)
    assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")
    lease.renew()


def test_a_sweep_that_died_is_gone_on_with(swept, machine: Machine, scratch: Scratch, server: Server):
    """It had the lease: that lapses too."""
    run_id = new_run_id()
    machine.lease(run_id)
    cluster = machine.cluster(run_id)
    server.aged = LAPSED

    class Killed(BaseException):
        pass

    def die(**_kwargs: Any) -> None:
        raise Killed

    events = scratch.account.client("emr").meta.events
    events.register("before-call.emr.TerminateJobFlows", die)
    with pytest.raises(Killed):
        swept()
    events.unregister("before-call.emr.TerminateJobFlows", die)
    server.aged = timedelta()
    assert swept() == Report(deleted=True)
    server.aged = LAPSED
    assert names(swept().removed) == [cluster, f"{machine.prefix(run_id).uri}/"]
    assert scratch.everything() == []


def test_a_cluster_that_may_not_be_terminated(swept, machine: Machine, scratch: Scratch, server: Server):
    run_id = new_run_id()
    machine.lease(run_id)
    cluster = machine.cluster(run_id)
    machine.objects(run_id)
    server.aged = LAPSED

    def refuse(**_kwargs: Any) -> tuple[Any, Any]:
        parsed = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
        return AWSResponse("", 400, {}, None), parsed

    scratch.account.client("emr").meta.events.register("before-call.emr.TerminateJobFlows", refuse)
    before = scratch.everything()
    report = swept()
    assert [failure.orphan.name for failure in report.failed] == [cluster, f"{machine.prefix(run_id).uri}/"]
    assert "elasticmapreduce:TerminateJobFlows" in report.failed[0].problems[0]
    assert "AccessDeniedException: not authorized" in report.failed[0].problems[0]
    assert report.removed == []
    assert scratch.everything() == before


def test_a_cluster_that_may_not_be_looked_at(swept, machine: Machine, scratch: Scratch, server: Server):
    """Rights by tag do not cover one that has a session's name alone. The others' sweep goes on."""
    strange, run_id = machine.cluster(new_run_id()), new_run_id()
    machine.lease(run_id)
    cluster = machine.cluster(run_id)
    server.aged = LAPSED

    def refuse(params: dict[str, Any], **_kwargs: Any) -> tuple[Any, Any] | None:
        if strange not in str(params["body"]):
            return None
        parsed = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
        return AWSResponse("", 400, {}, None), parsed

    events = scratch.account.client("emr").meta.events
    events.register("before-call.emr.DescribeCluster", refuse)
    report = swept()
    events.unregister("before-call.emr.DescribeCluster", refuse)
    assert [(orphan.name, "not authorized" in orphan.reason) for orphan in report.reported] == [
        (strange, True)
    ]
    assert cluster in [orphan.name for orphan in report.removed]
    assert machine.state(cluster) == "TERMINATED"
    assert machine.state(strange) not in ("TERMINATING", "TERMINATED")


def test_a_cluster_that_does_not_end(machine: Machine, scratch: Scratch, server: Server):
    run_id = new_run_id()
    machine.lease(run_id)
    machine.cluster(run_id)
    server.aged = LAPSED

    def still(parsed: dict[str, Any], **_kwargs: Any) -> None:
        parsed["Cluster"]["Status"]["State"] = "TERMINATING"

    scratch.account.client("emr").meta.events.register("after-call.emr.DescribeCluster", still)
    pace = Pace(poll=0.01, longest_poll=0.01, end=0.05)
    report = sweep(scratch.account, scratch.bucket, scratch.prefix, delete=True, pace=pace)
    assert "has not ended" in report.failed[0].problems[0]
    assert report.failed[1].problems == ["its cluster has not ended"]
    lease = read_lease(machine.account, scratch.bucket, machine.prefix(run_id).lease_key)
    assert lease is not None


def test_a_lease_that_cannot_be_read(swept, machine: Machine, scratch: Scratch, server: Server):
    run_id = new_run_id()
    scratch.put(machine.prefix(run_id).lease_key, b"{")
    cluster = machine.cluster(run_id, expires=timedelta(days=-1))
    before = scratch.everything()
    server.aged = timedelta(days=999)
    report = swept()
    assert names(report.reported) == [cluster, f"{machine.prefix(run_id).uri}/"]
    assert (report.removed, report.failed) == ([], [])
    assert scratch.everything() == before
    assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")


def test_without_a_lease_the_clusters_tag_decides(swept, machine: Machine, scratch: Scratch):
    past, future, none = new_run_id(), new_run_id(), new_run_id()
    expired = machine.cluster(past, expires=timedelta(seconds=-30))
    wanted = machine.cluster(future, expires=timedelta(minutes=5))
    undated = machine.cluster(none, change=tag("isolated-emr-expiry", "soon"))
    machine.objects(past)
    before = scratch.everything()
    assert names(swept(delete=False).removed) == [expired]
    report = swept()
    assert names(report.removed) == [expired]
    assert sorted(names(report.reported)) == sorted([undated, f"{machine.prefix(past).uri}/"])
    assert machine.state(expired) == "TERMINATED"
    for cluster in (wanted, undated):
        assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")
    assert scratch.everything() == before


@pytest.mark.parametrize("ahead", [timedelta(days=-2), timedelta(days=2)])
def test_a_tag_is_judged_by_the_servers_clock(swept, machine: Machine, scratch: Scratch, ahead: timedelta):
    """As if this machine's clock were two days off."""

    def shift(response_dict: dict[str, Any], **_kwargs: Any) -> None:
        now = datetime.now(timezone.utc) + ahead
        response_dict["headers"]["date"] = format_datetime(now, usegmt=True)

    scratch.account.client("emr").meta.events.register("before-parse.emr", shift)
    expired = machine.cluster(new_run_id(), expires=ahead - timedelta(minutes=1))
    machine.cluster(new_run_id(), expires=ahead + timedelta(minutes=1))
    assert names(swept(delete=False).removed) == [expired]


def test_an_answer_without_a_date(swept, machine: Machine, scratch: Scratch):
    def drop(response_dict: dict[str, Any], **_kwargs: Any) -> None:
        response_dict["headers"].pop("date", None)

    scratch.account.client("emr").meta.events.register("before-parse.emr", drop)
    cluster = machine.cluster(new_run_id(), expires=timedelta(days=-9))
    report = swept()
    assert (names(report.removed), names(report.reported)) == ([], [cluster])


def test_clusters_that_are_not_of_this_scratch(swept, machine: Machine, scratch: Scratch):
    past = timedelta(days=-1)
    elsewhere = [
        machine.cluster(new_run_id(), expires=past, place=f"s3://{scratch.bucket}/team/scratch2/x"),
        machine.cluster(new_run_id(), expires=past, place=f"s3://other/{scratch.prefix}/x"),
        machine.cluster(new_run_id(), expires=past, change=lambda request: request.update(Name="nightly")),
        machine.cluster(
            new_run_id(), expires=past, change=lambda request: request.update(Name="isolated-emr mine")
        ),
        machine.cluster(
            new_run_id(),
            expires=past,
            change=lambda request: request.update(Name=f"{request['Name']}-2"),
        ),
        machine.cluster(new_run_id(), expires=past, change=tag(PLACE, "")),
    ]
    untagged = [
        machine.cluster(new_run_id(), change=lambda request: request.pop("Tags")),
        machine.cluster(new_run_id(), expires=past, change=tag(RUN_ID, new_run_id())),
    ]
    report = swept()
    assert (report.removed, report.failed) == ([], [])
    assert sorted(names(report.reported)) == sorted(untagged)
    for cluster in [*elsewhere, *untagged]:
        assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")


def test_tags_that_change_before_the_second_look(swept, machine: Machine, scratch: Scratch, server: Server):
    run_id = new_run_id()
    machine.lease(run_id)
    cluster = machine.cluster(run_id)
    server.aged = LAPSED
    emr = machine.account.client("emr")
    scratch.s3.meta.events.register(
        "before-call.s3.PutObject",
        lambda **_kwargs: (
            emr.add_tags(ResourceId=cluster, Tags=[{"Key": RUN_ID, "Value": new_run_id()}]) and None
        ),
    )
    report = swept()
    assert report.removed == []
    assert report.failed[0].problems == ["its tags do not say any more that it is the session's"]
    assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")


def test_a_cluster_that_is_being_terminated_is_not_told_of(swept, machine: Machine, scratch: Scratch):
    cluster = machine.cluster(new_run_id(), change=lambda request: request.pop("Tags"))

    def terminating(parsed: dict[str, Any], **_kwargs: Any) -> None:
        parsed["Cluster"]["Status"]["State"] = "TERMINATING"

    assert names(swept().reported) == [cluster]
    scratch.account.client("emr").meta.events.register("after-call.emr.DescribeCluster", terminating)
    assert swept() == Report(deleted=True)


def test_slots_are_judged_by_themselves(swept, machine: Machine, scratch: Scratch, server: Server):
    live, gone = machine.slot(new_run_id()), machine.slot(new_run_id())
    scratch.put(f"{scratch.prefix}/.isolated-emr/slots/2.json", b"damaged")

    def choose(params: dict[str, Any], **_kwargs: Any) -> None:
        server.aged = timedelta() if params["Key"] == live.key else LAPSED

    scratch.s3.meta.events.register("provide-client-params.s3.GetObject", choose)
    report = swept()
    assert names(report.removed) == [gone.uri]
    assert names(report.reported) == [f"s3://{scratch.bucket}/{scratch.prefix}/.isolated-emr/slots/2.json"]
    left = list_slots(machine.account, scratch.bucket, scratch.prefix)
    assert [state.key.rpartition("/")[2] for state in left] == ["0.json", "2.json"]


def test_a_slot_that_is_renewed_before_the_second_look(
    swept, machine: Machine, scratch: Scratch, server: Server
):
    slot = machine.slot(new_run_id())
    server.aged = LAPSED
    looks = iter(range(9))

    def wake(**_kwargs: Any) -> None:
        if next(looks) == 1:
            slot.renew()
            server.aged = timedelta()

    scratch.s3.meta.events.register("before-call.s3.GetObject", wake)
    assert swept() == Report(deleted=True)
    slot.renew()


def test_only_versions_or_uploads_are_seen_too(swept, machine: Machine, scratch: Scratch):
    scratch.version_all()
    deleted, uploading = new_run_id(), new_run_id()
    key = machine.prefix(deleted).key("a")
    scratch.put(key)
    scratch.s3.delete_object(Bucket=scratch.bucket, Key=key)
    scratch.s3.create_multipart_upload(Bucket=scratch.bucket, Key=machine.prefix(uploading).key("a"))
    assert names(swept().reported) == sorted(f"{machine.prefix(run).uri}/" for run in (deleted, uploading))


@pytest.mark.parametrize("prefix", ["", "/", "a//b", ".."])
def test_a_prefix_that_is_none(scratch: Scratch, prefix: str):
    with pytest.raises(ValueError, match="prefix of a scratch"):
        sweep(scratch.account, scratch.bucket, prefix)


# The command.


def command(scratch: Scratch, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", *arguments],
        env=os.environ | {"COLUMNS": "250"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command(machine: Machine, scratch: Scratch):
    run_id = new_run_id()
    cluster = machine.cluster(run_id, expires=timedelta(seconds=-30))
    machine.objects(run_id)
    arguments = ["--scratch", f"s3://{scratch.bucket}/{scratch.prefix}/", "--region", "eu-west-1"]
    dry = command(scratch, *arguments)
    assert dry.returncode == 0, dry.stderr
    assert "would be removed" in dry.stdout
    assert "dry run" in dry.stdout
    assert machine.state(cluster) not in ("TERMINATING", "TERMINATED")
    done = command(scratch, *arguments, "--delete", "--json")
    assert done.returncode == 0, done.stderr
    assert f"terminating {cluster}" in done.stderr
    report = json.loads(done.stdout)
    assert [orphan["name"] for orphan in report["removed"]] == [cluster]
    assert [orphan["name"] for orphan in report["reported"]] == [f"{machine.prefix(run_id).uri}/"]
    assert machine.state(cluster) == "TERMINATED"
    again = command(scratch, *arguments, "--delete")
    assert "left alone" in again.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scratch", "s3://bucket"],
        ["--scratch", "s3://bucket/"],
        ["--scratch", "bucket/prefix"],
        ["--scratch", "s3:///prefix"],
        ["--scratch", "s3://bucket/prefix", "--kept"],
        ["--region", "eu-west-1"],
    ],
)
def test_wrong_arguments(scratch: Scratch, arguments: list[str]):
    refused = command(scratch, *arguments)
    assert refused.returncode == 2
    assert "Usage:" in refused.stderr


def test_a_bucket_that_is_not_there(scratch: Scratch):
    refused = command(scratch, "--scratch", "s3://no-such-bucket-here/prefix")
    assert refused.returncode == 75
    assert "NoSuchBucket" in refused.stderr
