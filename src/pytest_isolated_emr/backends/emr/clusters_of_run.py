"""The clusters of one run, found by their names and confirmed by their tags, and their end.

ListClusters tells no tags, and may not know for a while of a cluster that was made; tags may come late, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import tags
from pytest_isolated_emr.backends.emr.account import Account, aws_errors
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.termination import ENDED, describe, terminate
from pytest_isolated_emr.lifecycle.run_id import started_at


class ClustersOfRun:
    """Looks for a run's clusters, and ends them.

    :param account: whose they are.
    :param run_id: the run.
    :param place: the run's own prefix, as ``s3://bucket/prefix/run id``, which their tags name.
    :param pace: how often to look, and for how long.
    :param wait: waits for so many seconds.
    """

    def __init__(
        self, account: Account, run_id: str, place: str, pace: Pace, wait: Callable[[float], None]
    ) -> None:
        self._account = account
        self._run_id = run_id
        self._place = place
        self._pace = pace
        self._wait = wait

    def find(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Return those that have not ended, and the ids of others that have the run's name and not its tags.

        :raises IsolatedEmrError: AWS refused it, or did not answer.
        """
        return self._confirmed(self._named())

    def find_late(self, names: Collection[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """The same, but look for as long as a cluster may stay unknown, or until some are known, ended or not.

        :param names: of those that may have been made just now.
        :raises IsolatedEmrError: AWS refused it, or did not answer at the last look.
        """
        waited, pause = 0.0, self._pace.poll
        while True:
            is_last = waited >= self._pace.settle
            try:
                named = self._named()
                found, doubtful = self._confirmed(named)
                if is_last or (not doubtful and set(names) <= {each["Name"] for each in named}):
                    return found, doubtful
            except errors.AwsUnreachable:
                if is_last:
                    raise
            self._wait(pause)
            waited += pause
            pause = self._pace.longer(pause)

    def _named(self) -> list[dict[str, Any]]:
        """Return what ListClusters has of those with the run's name, ended or not."""
        # By whichever clock the run's id is: none of its clusters is older.
        since = started_at(self._run_id) - timedelta(days=1)
        with aws_errors("listing clusters (elasticmapreduce:ListClusters)"):
            pages = self._account.client("emr").get_paginator("list_clusters").paginate(CreatedAfter=since)
            return [
                cluster
                for page in pages
                for cluster in page["Clusters"]
                if tags.run_id_of(cluster["Name"]) == self._run_id
            ]

    def _confirmed(self, named: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
        confirmed, doubtful = [], []
        for summary in named:
            if summary["Status"]["State"] in ENDED:
                continue
            try:
                cluster = describe(self._account, str(summary["Id"]))
            except errors.AwsRefused:
                # The keeper's rights are for clusters with a run's tags, which may come late.
                doubtful.append(str(summary["Id"]))
                continue
            if cluster["Status"]["State"] in ENDED:
                continue
            if self.is_of_run(cluster):
                confirmed.append(cluster)
            else:
                doubtful.append(str(summary["Id"]))
        return confirmed, doubtful

    def is_of_run(self, cluster: dict[str, Any]) -> bool:
        """Tell whether a cluster's tags prove that it is the run's.

        :param cluster: as DescribeCluster has it.
        """
        told = tags.values_of(cluster.get("Tags") or ())
        return told.get(tags.RUN_ID) == self._run_id and told.get(tags.PLACE) == self._place

    def end(
        self, known: str | None, say: Callable[[str], None], *, late: Collection[str] = ()
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Terminate them all and wait until they have ended.

        :param known: the id of one that RunJobFlow itself named: it is the run's, whatever its tags say yet.
        :param say: is told what is being waited for.
        :param late: names of those that AWS may have made, and does not list yet.
        :returns: those that have ended, as they were then; and what could not be ended, and why.
        """
        ended: list[dict[str, Any]] = []
        problems: list[str] = []

        def end(cluster: dict[str, Any]) -> None:
            ended.append(terminate(self._account, cluster, self._pace, say=say, wait=self._wait))

        def attempt(what: str, act: Callable[[], None]) -> None:
            try:
                act()
            except errors.IsolatedEmrError as error:
                problems.append(f"{what}: {error.what} {error.checked}")

        if known is not None:
            attempt(f"cluster {known}", lambda: end(self._known(known)))
        try:
            found, doubtful = self.find_late(late) if late else self.find()
        except errors.IsolatedEmrError as error:
            problems.append(f"clusters of {self._run_id}: {error.what} {error.checked}")
            return ended, problems
        for cluster in found:
            if cluster["Id"] != known:
                attempt(f"cluster {cluster['Id']}", lambda cluster=cluster: end(cluster))  # type: ignore[misc]
        problems += [
            f"cluster {cluster_id}: it has the session's name, and its tags do not say that it is the session's"
            for cluster_id in doubtful
            if cluster_id != known
        ]
        return ended, problems

    def _known(self, cluster_id: str) -> dict[str, Any]:
        try:
            return describe(self._account, cluster_id)
        except (errors.AwsUnreachable, errors.AwsRefused):
            # What is known of it is enough for the order.
            return {"Id": cluster_id, "Status": {"State": "UNKNOWN"}}
