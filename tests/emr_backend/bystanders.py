"""What is in the account beside the session that is tried: it has to stay as it is."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.backends.emr.lease import Lease, LeaseBody
from pytest_isolated_emr.backends.emr.prefix import RunPrefix
from pytest_isolated_emr.backends.emr.slots import Slots
from pytest_isolated_emr.backends.emr.tags import SessionIdentity
from pytest_isolated_emr.lifecycle.run_id import new_run_id

PREFIX = "team/scratch"
_LEASE_SECONDS = 60.0
_RENEW_SECONDS = 5.0


def make_roles(account: Account) -> None:
    """Make EMR's roles, as `aws emr create-default-roles` does."""
    iam = account.client("iam")
    for role in ("EMR_DefaultRole", "EMR_EC2_DefaultRole"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="EMR_EC2_DefaultRole")
    iam.add_role_to_instance_profile(
        InstanceProfileName="EMR_EC2_DefaultRole", RoleName="EMR_EC2_DefaultRole"
    )


@dataclass
class Bystanders:
    """Two buckets with other people's objects, another live run with all that it has, and clusters of others.

    The live run's lease and slot are renewed from ``with`` on to its end.

    :param account: reached past all faults.
    :param region: its.
    :param versioned: whether the scratch's bucket has versions.
    """

    account: Account
    region: str
    versioned: bool = False
    bucket: str = field(default_factory=lambda: f"scratch-{new_run_id()}")
    run_id: str = field(default_factory=new_run_id)
    #: Why the other run could not go on, if it could not.
    lost: list[str] = field(default_factory=list)
    clusters: dict[str, str] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def other_bucket(self) -> str:
        """One that no session is told of."""
        return f"other-{self.bucket}"

    @property
    def renewed(self) -> frozenset[str]:
        """The keys of what the other run writes again and again."""
        return frozenset(lease.key for lease in self._leases)

    def __enter__(self) -> Bystanders:
        s3 = self.account.client("s3")
        for bucket in (self.bucket, self.other_bucket):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": self.region})
        if self.versioned:
            s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        live = RunPrefix(self.account, self.bucket, PREFIX, self.run_id)
        keys = ["readme", "team/table/part-0", f"{PREFIX}2/{new_run_id()}/a", f"{PREFIX}/table/part-0"]
        keys += [f"{PREFIX}/.isolated-emr/notes", live.key("scratch", "main", "a"), live.key("logs", "b")]
        for key in keys:
            # Twice: with versions there are two of each.
            for body in (b"old", b"new"):
                s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        s3.delete_object(Bucket=self.bucket, Key=f"{PREFIX}/table/part-1")
        s3.create_multipart_upload(Bucket=self.bucket, Key=f"{PREFIX}/table/part-2")
        s3.put_object(Bucket=self.other_bucket, Key=f"{PREFIX}/{new_run_id()}/lease.json", Body=b"x")
        body = LeaseBody.of_this_process(self.run_id, "bob", _LEASE_SECONDS)
        lease = Lease(self.account, self.bucket, live.lease_key, body)
        lease.take()
        slot = Slots(
            self.account,
            self.bucket,
            PREFIX,
            5,
            LeaseBody.of_this_process(self.run_id, "bob", _LEASE_SECONDS),
        ).try_claim()
        assert slot is not None
        self._leases = [lease, slot]
        expiry = datetime.now(timezone.utc) + timedelta(hours=2)
        identity = SessionIdentity(self.run_id, "bob", "elsewhere", expiry, live.uri)
        self._launch("live run", identity.cluster_name, identity.tags())
        self._launch("nightly job", "nightly", [{"Key": "team", "Value": "data"}])
        # A session's name is no proof.
        self._launch("namesake", f"isolated-emr {new_run_id()}", [])
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.account.client("emr").terminate_job_flows(JobFlowIds=list(self.clusters.values()))

    def check(self) -> list[str]:
        """Return what the other run lost, as it hears of it itself."""
        for lease in self._leases:
            try:
                lease.renew()
            except errors.IsolatedEmrError as error:
                self.lost.append(f"{lease.key}: {error.what} {error.checked}")
        return list(dict.fromkeys(self.lost))

    def _renew(self) -> None:
        while not self._over.wait(_RENEW_SECONDS):
            for lease in self._leases:
                try:
                    lease.renew()
                except errors.IsolatedEmrError as error:
                    self.lost.append(f"{lease.key}: {error.what} {error.checked}")

    def _launch(self, what: str, name: str, tags: list[dict[str, Any]]) -> None:
        made = self.account.client("emr").run_job_flow(
            Name=name,
            ReleaseLabel="emr-7.10.0",
            Instances={
                "MasterInstanceType": "m5.xlarge",
                "InstanceCount": 1,
                "KeepJobFlowAliveWhenNoSteps": True,
            },
            JobFlowRole="EMR_EC2_DefaultRole",
            ServiceRole="EMR_DefaultRole",
            Tags=tags,
        )
        self.clusters[what] = str(made["JobFlowId"])
