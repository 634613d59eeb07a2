"""The auditor sees what it is there to see: each thing that must not be is done on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest

from pytest_isolated_emr.backends.emr.lease import LeaseBody
from pytest_isolated_emr.backends.emr.slots import Slots
from pytest_isolated_emr.backends.emr.tags import SessionIdentity
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from tests.emr_backend.auditor import Audit, Auditor
from tests.emr_backend.bystanders import PREFIX, Bystanders
from tests.emr_backend.s3_endpoint import REGION, Scratch


@dataclass
class Stage:
    """Bystanders, an auditor of them, and the hand of whoever does wrong."""

    bystanders: Bystanders
    auditor: Auditor
    run_id: str

    @property
    def s3(self) -> Any:
        return self.bystanders.account.client("s3")

    @property
    def emr(self) -> Any:
        return self.bystanders.account.client("emr")

    def put(self, key: str, bucket: str = "") -> None:
        self.s3.put_object(Bucket=bucket or self.bystanders.bucket, Key=key, Body=b"x")

    def launch(self, which: str = "", **more: Any) -> str:
        place = f"s3://{self.bystanders.bucket}/{PREFIX}/{self.run_id}"
        expiry = datetime.now(timezone.utc) + timedelta(hours=1)
        identity = SessionIdentity(self.run_id, "alice", "laptop", expiry, place)
        made = self.emr.run_job_flow(
            Name=f"{identity.cluster_name}{which}",
            ReleaseLabel="emr-spark-8.0.0",
            LogUri=f"{place}/logs/",
            Instances={
                "MasterInstanceType": "m5.xlarge",
                "InstanceCount": 1,
                "KeepJobFlowAliveWhenNoSteps": True,
            },
            JobFlowRole="EMR_EC2_DefaultRole",
            ServiceRole="EMR_DefaultRole",
            Tags=identity.tags(),
            **more,
        )
        return str(made["JobFlowId"])

    def end(self, cluster_id: str) -> None:
        self.emr.terminate_job_flows(JobFlowIds=[cluster_id])
        waiter = self.emr.get_waiter("cluster_terminated")
        waiter.wait(ClusterId=cluster_id, WaiterConfig={"Delay": 1})


@pytest.fixture
def stage(scratch: Scratch, versioned: bool) -> Iterator[Stage]:
    with (
        Bystanders(scratch.account, REGION, versioned) as bystanders,
        Auditor(boto3.Session(region_name=REGION), bystanders) as auditor,
    ):
        yield Stage(bystanders, auditor, new_run_id())


@pytest.fixture
def versioned() -> bool:
    """Whether the bucket has versions."""
    return True


def found(audit: Audit) -> set[str]:
    """The names of what is not empty."""
    kinds = ("left_clusters", "left_objects", "left_slots", "changed", "wrongly_ended")
    return {kind for kind in kinds if getattr(audit, kind)}


@pytest.mark.parametrize("versioned", [False, True])
def test_a_session_that_is_gone(stage: Stage) -> None:
    cluster, of_a_test = stage.launch(), stage.launch(" main-1")
    key = f"{PREFIX}/{stage.run_id}/scratch/a"
    stage.put(key)
    during = stage.auditor.look()
    assert found(during) == {"left_clusters", "left_objects"}
    assert len(during.left_clusters) == 2
    stage.end(cluster)
    stage.end(of_a_test)
    for version in stage.s3.list_object_versions(Bucket=stage.bystanders.bucket, Prefix=key)["Versions"]:
        stage.s3.delete_object(Bucket=stage.bystanders.bucket, Key=key, VersionId=version["VersionId"])
    after = stage.auditor.look()
    assert (found(after), after.launched, after.launched_by_tests, after.alive_at_once) == (set(), 1, 1, 1)


@pytest.mark.parametrize("which", ["", " main-1"])
def test_two_clusters_of_one_name(stage: Stage, which: str) -> None:
    first = stage.launch(which)
    stage.end(first)
    second = stage.launch(which)
    assert stage.auditor.look().alive_at_once == 1
    third = stage.launch(which)
    stage.end(second)
    stage.end(third)
    audit = stage.auditor.look()
    launched = (0, 3) if which else (3, 0)
    assert (audit.launched, audit.launched_by_tests) == launched
    assert (audit.alive_at_once, audit.left_clusters) == (2, [])


def test_two_sessions_of_sparks(stage: Stage) -> None:
    cluster = stage.launch(SessionEnabled=True, Applications=[{"Name": "Spark"}])
    stage.emr.get_waiter("cluster_running").wait(ClusterId=cluster, WaiterConfig={"Delay": 1})
    for number in (1, 2):
        stage.emr.start_session(ClusterId=cluster, Name="tests")
        assert stage.auditor.look().sparks == number
    stage.end(cluster)
    assert stage.auditor.look().sparks == 2


def test_a_slot_that_is_left(stage: Stage) -> None:
    body = LeaseBody.of_this_process(stage.run_id, "alice", 900.0)
    account, bucket = stage.bystanders.account, stage.bystanders.bucket
    assert Slots(account, bucket, PREFIX, 5, body).try_claim() is not None
    assert found(stage.auditor.look()) == {"left_slots"}


def test_an_upload_that_is_left(stage: Stage) -> None:
    key = f"{PREFIX}/{stage.run_id}/a"
    stage.s3.create_multipart_upload(Bucket=stage.bystanders.bucket, Key=key)
    assert found(stage.auditor.look()) == {"left_objects"}


WRONGS: dict[str, tuple[Callable[[Stage], Any], str]] = {
    "another team's object is deleted": (
        lambda stage: stage.s3.delete_object(Bucket=stage.bystanders.bucket, Key="team/table/part-0"),
        "changed",
    ),
    "an object is written anew": (lambda stage: stage.put("readme"), "changed"),
    "an object is written beside": (lambda stage: stage.put(f"{PREFIX}/leftover"), "changed"),
    "an object in another bucket": (
        lambda stage: stage.put("a", stage.bystanders.other_bucket),
        "changed",
    ),
    "an object of the other run": (
        lambda stage: stage.put(f"{PREFIX}/{stage.bystanders.run_id}/scratch/main/a"),
        "changed",
    ),
    "the other run's cluster ends": (
        lambda stage: stage.end(stage.bystanders.clusters["live run"]),
        "wrongly_ended",
    ),
    "a stranger's cluster ends": (
        lambda stage: stage.end(stage.bystanders.clusters["nightly job"]),
        "wrongly_ended",
    ),
    "the other run's lease is deleted": (
        lambda stage: stage.s3.delete_object(
            Bucket=stage.bystanders.bucket, Key=f"{PREFIX}/{stage.bystanders.run_id}/lease.json"
        ),
        "wrongly_ended",
    ),
    "the other run's lease is taken": (
        lambda stage: stage.put(f"{PREFIX}/{stage.bystanders.run_id}/lease.json"),
        "wrongly_ended",
    ),
    "the other run's slot is taken": (
        lambda stage: stage.put(f"{PREFIX}/.isolated-emr/slots/0.json"),
        "wrongly_ended",
    ),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_a_wrong(stage: Stage, wrong: str) -> None:
    do, kind = WRONGS[wrong]
    assert found(stage.auditor.look()) == set()
    do(stage)
    assert found(stage.auditor.look()) == {kind}


def test_an_upload_of_others_that_is_aborted(stage: Stage) -> None:
    bucket = stage.bystanders.bucket
    upload = stage.s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]
    stage.s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    assert found(stage.auditor.look()) == {"changed"}
