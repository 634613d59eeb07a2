"""What really is on AWS, looked up past the faults and past the code that is tried.

It knows of that code only the name of a session's cluster and the shape of a run's prefix.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any

import boto3

from tests.emr_backend.bystanders import PREFIX, Bystanders

_ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")
_RUN_ID = r"\d{8}t\d{6}-[0-9a-f]{6}"
_SESSIONS_CLUSTER = re.compile(rf"isolated-emr ({_RUN_ID})")
_TESTS_CLUSTER = re.compile(rf"isolated-emr ({_RUN_ID}).+")
_RUNS_OWN = re.compile(rf"{re.escape(PREFIX)}/({_RUN_ID})/")
_SLOT = re.compile(rf"{re.escape(PREFIX)}/\.isolated-emr/slots/\d+\.json")
_LOOK_SECONDS = 0.2

#: Bucket, key, version or upload, ETag, kind.
Stored = tuple[str, str, str, str, str]


@dataclass
class Audit:
    """What was found. Numbers are of one case.

    :param launched: how many session clusters there ever were.
    :param launched_by_tests: how many clusters of tests.
    :param alive_at_once: the most of one name that were alive at the same time: of one run, and of one that a test made.
    :param sparks: the most sessions of Spark's that one cluster ever had.
    :param left_clusters: those that have not ended.
    :param left_objects: what is left below runs' prefixes: objects, versions, markers and uploads.
    :param left_slots: slots that a session still has.
    :param changed: what else is not as it was.
    :param wrongly_ended: other people's clusters that were ended, or leases that were taken.
    """

    launched: int = 0
    launched_by_tests: int = 0
    sparks: int = 0
    alive_at_once: int = 0
    left_clusters: list[str] = field(default_factory=list)
    left_objects: list[str] = field(default_factory=list)
    left_slots: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    wrongly_ended: list[str] = field(default_factory=list)

    @property
    def leaked(self) -> list[str]:
        """All that is left of sessions."""
        return [*self.left_clusters, *self.left_objects, *self.left_slots]


class Auditor:
    """Looks at one scratch from ``with`` on to its end.

    :param session: a boto3 session that reaches AWS past the faults.
    :param bystanders: what else is there.
    """

    def __init__(self, session: boto3.Session, bystanders: Bystanders) -> None:
        self._emr: Any = session.client("emr")
        self._s3: Any = session.client("s3")
        self._bystanders = bystanders
        self._over = threading.Event()
        self._seen_at_once = 0
        self._places: dict[str, str] = {}
        self._failed: list[BaseException] = []

    def __enter__(self) -> Auditor:
        self._since = datetime.now(timezone.utc) - timedelta(milliseconds=1)
        self._before = self._stored()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._failed:
            raise self._failed[0]

    def look(self) -> Audit:
        """Return what there is now."""
        audit = Audit()
        clusters = self._clusters()
        of_names: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for cluster in clusters:
            of_names[cluster["Name"]].append(cluster)
            is_sessions = _SESSIONS_CLUSTER.fullmatch(cluster["Name"]) is not None
            audit.launched += is_sessions
            audit.launched_by_tests += not is_sessions
            audit.sparks = max(audit.sparks, len(self._sparks(cluster["Id"])))
            if cluster["Status"]["State"] not in _ENDED:
                audit.left_clusters.append(f"{cluster['Id']} ({cluster['Name']})")
        audit.alive_at_once = max([self._seen_at_once, *map(_most_at_once, of_names.values())])
        now = self._stored()
        for entry in sorted(now ^ self._before):
            bucket, key, _, _, kind = entry
            if bucket == self._bystanders.bucket and key in self._bystanders.renewed:
                # Written anew by its own run all the time, which hears of it if anybody else does.
                continue
            told = f"s3://{bucket}/{key} ({kind})"
            ours = _RUNS_OWN.match(key) if bucket == self._bystanders.bucket else None
            if ours and ours[1] != self._bystanders.run_id:
                audit.left_objects.append(told)
            elif entry in now and bucket == self._bystanders.bucket and _SLOT.fullmatch(key):
                audit.left_slots.append(told)
            else:
                audit.changed.append(f"{told} {'is new' if entry in now else 'is gone'}")
        for what, cluster_id in self._bystanders.clusters.items():
            state = self._describe(cluster_id)["Status"]["State"]
            if state in ("TERMINATING", *_ENDED):
                audit.wrongly_ended.append(f"{what}: {cluster_id} is {state}")
        audit.wrongly_ended += self._bystanders.check()
        return audit

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                alive: dict[str, int] = defaultdict(int)
                for cluster in self._clusters():
                    if cluster["Status"]["State"] not in _ENDED:
                        alive[cluster["Name"]] += 1
            except Exception as error:  # noqa: BLE001 - an auditor that saw nothing says so at its end
                self._failed.append(error)
                return
            self._seen_at_once = max([self._seen_at_once, *alive.values()])

    def _clusters(self) -> list[dict[str, Any]]:
        """Return the sessions' and their tests' clusters in this scratch that came since the beginning."""
        pages = self._emr.get_paginator("list_clusters").paginate(CreatedAfter=self._since)
        found = []
        for page in pages:
            for cluster in page["Clusters"]:
                if cluster["Id"] in self._bystanders.clusters.values():
                    continue
                if not (
                    _SESSIONS_CLUSTER.fullmatch(cluster["Name"]) or _TESTS_CLUSTER.fullmatch(cluster["Name"])
                ):
                    continue
                if self._place(cluster["Id"]).startswith(f"s3://{self._bystanders.bucket}/"):
                    found.append(cluster)
        return found

    def _place(self, cluster_id: str) -> str:
        """Return where a cluster's logs go: in the scratch that its session has, as no case says otherwise."""
        if cluster_id not in self._places:
            uri = str(self._describe(cluster_id).get("LogUri", ""))
            self._places[cluster_id] = uri.replace("s3n://", "s3://")
        return self._places[cluster_id]

    def _describe(self, cluster_id: str) -> dict[str, Any]:
        told: dict[str, Any] = self._emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
        return told

    def _sparks(self, cluster_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._emr.list_sessions(ClusterId=cluster_id)["Sessions"]
        return found

    def _stored(self) -> set[Stored]:
        found: set[Stored] = set()
        for bucket in (self._bystanders.bucket, self._bystanders.other_bucket):
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for kind in ("Versions", "DeleteMarkers"):
                    for entry in page.get(kind, ()):
                        found.add((bucket, entry["Key"], entry["VersionId"], entry.get("ETag", ""), kind))
            for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
                for entry in page.get("Uploads", ()):
                    found.add((bucket, entry["Key"], entry["UploadId"], "", "Uploads"))
        return found


def _most_at_once(clusters: list[dict[str, Any]]) -> int:
    """Return how many of them were alive at the same time, by when each began and ended."""
    moments = []
    for cluster in clusters:
        timeline = cluster["Status"]["Timeline"]
        moments.append((timeline["CreationDateTime"], 1))
        if end := timeline.get("EndDateTime"):
            moments.append((end, -1))
    alive = most = 0
    # One that ended in the moment in which another began was not alive with it.
    for _, change in sorted(moments, key=lambda moment: moment):
        alive += change
        most = max(most, alive)
    return most
