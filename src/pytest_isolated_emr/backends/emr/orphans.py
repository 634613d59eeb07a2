"""Removing what dead sessions of any machine left in an account and a scratch.

Nobody here can look at another machine's processes. So an orphan is what says itself whose it is (by name, tags and place) and
what has expired by AWS's own clock, and is both still on a second look just before it goes:

- A run's lease decides where there is one. A sweep takes a lapsed lease over before it deletes anything, so that an owner that wakes up
  is told, and two sweeps are not at the same run.
- Without a lease a cluster's tag says when it expires. A prefix without a lease is dated by nothing.
- What cannot be dated is reported, and never deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import tags
from pytest_isolated_emr.backends.emr.account import Account, aws_errors
from pytest_isolated_emr.backends.emr.clock import server_time
from pytest_isolated_emr.backends.emr.lease import (
    Lease,
    LeaseBody,
    LeaseState,
    read_lease,
    remove_lease,
)
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.prefix import RunPrefix, check_prefix
from pytest_isolated_emr.backends.emr.slots import list_slots
from pytest_isolated_emr.backends.emr.termination import ENDED, terminate
from pytest_isolated_emr.lifecycle.run_id import is_run_id

_NOT_ENDED = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING"]


@dataclass(frozen=True)
class Orphan:
    """Something of ours that no session is known to want.

    :param run_id: the session that it says it is of.
    :param name: what it is: a cluster's id, or where it is on S3.
    :param reason: why it is removed, or left alone.
    :param owner: who started the session, if it says so.
    :param host: the machine that it ran on, if it says so.
    """

    run_id: str
    name: str
    reason: str
    owner: str = ""
    host: str = ""


@dataclass(frozen=True)
class Failure:
    """An orphan that could not be removed; the next sweep finds it again.

    :param orphan: which one.
    :param problems: why.
    """

    orphan: Orphan
    problems: list[str]


@dataclass
class Report:
    """What a sweep did, or would do.

    :param deleted: whether it was told to delete; otherwise ``removed`` is what would have been removed.
    :param removed: what was removed.
    :param failed: what could not be removed, wholly or in part.
    :param reported: what was left as it is, each with its reason. Live sessions are not among it.
    """

    deleted: bool
    removed: list[Orphan] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    reported: list[Orphan] = field(default_factory=list)


def sweep(
    account: Account,
    bucket: str,
    prefix: str,
    *,
    delete: bool = False,
    pace: Pace | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Remove what dead sessions left in an account and a scratch.

    :param account: the account.
    :param bucket: of the scratch.
    :param prefix: of the scratch in the bucket, without slashes at its ends.
    :param delete: whether to remove anything; otherwise say only what would be removed.
    :param pace: how often AWS is asked, and how long for.
    :param say: is told what is being done.
    :raises ValueError: the bucket or the prefix is none.
    :raises IsolatedEmrError: the account or the scratch cannot be looked at.
    """
    check_prefix(bucket, prefix)
    return _Sweep(account, bucket, prefix, delete, pace or Pace(), say).run()


class _Sweep:
    def __init__(
        self,
        account: Account,
        bucket: str,
        prefix: str,
        delete: bool,
        pace: Pace,
        say: Callable[[str], None],
    ) -> None:
        self._account = account
        self._bucket = bucket
        self._prefix = prefix
        self._pace = pace
        self._say = say
        self._report = Report(deleted=delete)

    def run(self) -> Report:
        clusters = self._clusters()
        stored = self._stored_runs()
        for run_id in sorted({*clusters, *stored}):
            self._at_run(run_id, clusters.get(run_id, []), is_stored=run_id in stored)
        # After the clusters, of which a slot is the admission.
        for slot in list_slots(self._account, self._bucket, self._prefix):
            self._at_slot(slot)
        return self._report

    # What there is.

    def _stored_runs(self) -> set[str]:
        """Return the run ids of which anything is on S3: objects, versions of deleted ones, unfinished uploads."""
        root = f"{self._prefix}/"
        s3 = self._account.client("s3")
        with aws_errors(f"listing runs below s3://{self._bucket}/{root} (s3:ListBucketVersions)"):
            pages = s3.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=root, Delimiter="/"
            )
            keys = [common["Prefix"] for page in pages for common in page.get("CommonPrefixes", ())]
        with aws_errors(f"listing uploads below s3://{self._bucket}/{root} (s3:ListBucketMultipartUploads)"):
            pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=root)
            keys += [upload["Key"] for page in pages for upload in page.get("Uploads", ())]
        found = {key.removeprefix(root).partition("/")[0] for key in keys}
        return {name for name in found if is_run_id(name)}

    def _clusters(self) -> dict[str, list[dict[str, Any]]]:
        """Return the clusters of this scratch's runs by their run ids: the runs' own, and those of their tests."""
        emr = self._account.client("emr")
        with aws_errors("listing clusters (elasticmapreduce:ListClusters)"):
            named = [
                (run_id, str(cluster["Id"]))
                for page in emr.get_paginator("list_clusters").paginate(ClusterStates=_NOT_ENDED)
                for cluster in page["Clusters"]
                if (run_id := tags.run_id_of(cluster["Name"]))
            ]
        found: dict[str, list[dict[str, Any]]] = {}
        for run_id, cluster_id in named:
            try:
                cluster, _ = self._describe(cluster_id)
            except errors.AwsRefused as error:
                # The keeper's rights are for clusters with a run's tag: who has only the name is no reason to leave the rest.
                self._report.reported.append(
                    Orphan(run_id, cluster_id, f"it may not be looked at: {error.checked}")
                )
                continue
            told = tags.values_of(cluster.get("Tags", ()))
            if not _is_named(told, run_id):
                if cluster["Status"]["State"] != "TERMINATING":
                    reason = "it is named like a session's cluster, and its tags do not say that it is one"
                    self._report.reported.append(_orphan_of(run_id, cluster, reason))
            elif told.get(tags.PLACE) == self._prefix_of(run_id).uri:
                found.setdefault(run_id, []).append(cluster)
            # Others are of another scratch, whose own sweep judges them.
        return found

    def _describe(self, cluster_id: str) -> tuple[dict[str, Any], datetime | None]:
        """Return a cluster, and what time it was for AWS."""
        with aws_errors(f"looking at cluster {cluster_id} (elasticmapreduce:DescribeCluster)"):
            answer = self._account.client("emr").describe_cluster(ClusterId=cluster_id)
        return answer["Cluster"], server_time(answer)

    def _prefix_of(self, run_id: str) -> RunPrefix:
        return RunPrefix(self._account, self._bucket, self._prefix, run_id)

    def _lease_of(self, run_id: str) -> LeaseState | None:
        return read_lease(self._account, self._bucket, self._prefix_of(run_id).lease_key)

    # What becomes of it.

    def _at_run(self, run_id: str, clusters: list[dict[str, Any]], *, is_stored: bool) -> None:
        lease = self._lease_of(run_id)
        where = self._prefix_of(run_id).uri
        if lease is None:
            for cluster in clusters:
                self._at_cluster_without_lease(run_id, cluster)
            if is_stored:
                self._report.reported.append(
                    Orphan(run_id, f"{where}/", "it has no lease, so that nothing says how old it is")
                )
        elif not lease.is_dated:
            what = [_orphan_of(run_id, cluster, "") for cluster in clusters]
            for orphan in [*what, Orphan(run_id, f"{where}/", "")]:
                reason = "the run's lease cannot be read, so that nothing says how old it is"
                self._report.reported.append(Orphan(run_id, orphan.name, reason, orphan.owner, orphan.host))
        elif lease.is_lapsed:
            self._at_lapsed_run(run_id, lease, clusters)

    def _at_lapsed_run(self, run_id: str, lease: LeaseState, clusters: list[dict[str, Any]]) -> None:
        assert lease.body is not None
        prefix = self._prefix_of(run_id)
        reason = f"its lease was not renewed for {lease.age}"
        owner, host = lease.body.owner, lease.body.host.name
        stored = Orphan(run_id, f"{prefix.uri}/", reason, owner, host)
        found = [Orphan(run_id, str(cluster["Id"]), reason, owner, host) for cluster in clusters]
        if not self._report.deleted:
            self._report.removed += [*found, stored]
            return
        if not self._take_over(lease):
            return
        # In the order of teardown: an ended cluster writes nothing more.
        all_ended = True
        for orphan in found:
            problems = self._end_cluster(run_id, orphan.name)
            self._tell(orphan, problems)
            all_ended = all_ended and not problems
        if all_ended:
            self._say(f"emptying {prefix.uri}")
            self._tell(stored, prefix.empty(self._say))
        else:
            self._tell(stored, ["its cluster has not ended"])

    def _take_over(self, lease: LeaseState) -> bool:
        """Write the lapsed lease of a run anew, if it still is as it was: the second look and the lock in one."""
        assert lease.body is not None
        again = read_lease(self._account, self._bucket, lease.key)
        if again is None or again.etag != lease.etag or not again.is_lapsed:
            return False
        body = LeaseBody.of_this_process(lease.body.run_id, lease.body.owner, self._pace.lease)
        try:
            Lease(self._account, self._bucket, lease.key, body).take_over(again)
        except errors.LeaseLapsed:
            # It was renewed in this moment, or another sweep was quicker.
            return False
        return True

    def _at_cluster_without_lease(self, run_id: str, cluster: dict[str, Any]) -> None:
        expired = self._expired(str(cluster["Id"]))
        if expired is None:
            reason = "it has no lease, and its tags do not say when it expires"
            self._report.reported.append(_orphan_of(run_id, cluster, reason))
        elif expired:
            orphan = _orphan_of(run_id, cluster, "it has no lease, and has expired by its tag")
            if not self._report.deleted:
                self._report.removed.append(orphan)
            elif self._lease_of(run_id) is None and self._expired(orphan.name):
                self._tell(orphan, self._end_cluster(run_id, orphan.name))

    def _expired(self, cluster_id: str) -> bool | None:
        """Whether a cluster's tag says so, by AWS's clock; None if that cannot be told."""
        cluster, now = self._describe(cluster_id)
        text = tags.values_of(cluster.get("Tags", ())).get(tags.EXPIRY, "")
        try:
            expiry = datetime.fromisoformat(text)
        except ValueError:
            return None
        if now is None or expiry.tzinfo is None:
            return None
        return now > expiry

    def _end_cluster(self, run_id: str, cluster_id: str) -> list[str]:
        """Terminate a cluster that is still what it was, and return why it could not be."""
        try:
            cluster, _ = self._describe(cluster_id)
            told = tags.values_of(cluster.get("Tags", ()))
            if cluster["Status"]["State"] in ENDED:
                return []
            if not _is_named(told, run_id) or told.get(tags.PLACE) != self._prefix_of(run_id).uri:
                return ["its tags do not say any more that it is the session's"]
            self._say(f"terminating {cluster_id}")
            terminate(self._account, cluster, self._pace)
        except errors.IsolatedEmrError as error:
            return [f"{error.what} {error.checked}"]
        return []

    def _at_slot(self, slot: LeaseState) -> None:
        where = f"s3://{self._bucket}/{slot.key}"
        if slot.body is None or not slot.is_dated:
            self._report.reported.append(
                Orphan("", where, "the slot cannot be read, so that nothing says how old it is")
            )
            return
        if not slot.is_lapsed:
            return
        reason = f"it was not renewed for {slot.age}"
        orphan = Orphan(slot.body.run_id, where, reason, slot.body.owner, slot.body.host.name)
        if not self._report.deleted:
            self._report.removed.append(orphan)
            return
        try:
            again = read_lease(self._account, self._bucket, slot.key)
            if again is not None and again.is_lapsed and remove_lease(self._account, self._bucket, again):
                self._report.removed.append(orphan)
        except errors.IsolatedEmrError as error:
            self._report.failed.append(Failure(orphan, [f"{error.what} {error.checked}"]))

    def _tell(self, orphan: Orphan, problems: Iterable[str]) -> None:
        if told := list(problems):
            self._report.failed.append(Failure(orphan, told))
        else:
            self._report.removed.append(orphan)


def _is_named(told: dict[str, str], run_id: str) -> bool:
    return told.get(tags.RUN_ID) == run_id


def _orphan_of(run_id: str, cluster: dict[str, Any], reason: str) -> Orphan:
    told = tags.values_of(cluster.get("Tags", ()))
    return Orphan(run_id, str(cluster["Id"]), reason, told.get(tags.OWNER, ""), told.get(tags.HOST, ""))
