"""The session's own cluster: launched once, waited for, looked at, ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import cures
from pytest_isolated_emr.backends.emr.account import Account, aws_errors
from pytest_isolated_emr.backends.emr.clusters_of_run import ClustersOfRun
from pytest_isolated_emr.backends.emr.launch import ask
from pytest_isolated_emr.backends.emr.pace import Pace, Stop, Stopped
from pytest_isolated_emr.backends.emr.readiness import READY, await_ready, reasons_of
from pytest_isolated_emr.backends.emr.tags import SessionIdentity
from pytest_isolated_emr.backends.emr.termination import ENDED, describe
from pytest_isolated_emr.lifecycle.journal import Journal

KIND = "emr-cluster"
#: So often a launch whose answer got lost, and that left no cluster, is tried.
_LAUNCHES = 3
_ASKED_FOR = "asked for"
#: By the partition of a region, where its console is.
_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


class SessionCluster:
    """A session's cluster. One thread launches it and waits for it; others may look at it meanwhile.

    :param account: where it is to be.
    :param journal: the session's.
    :param identity: whose it is.
    :param pace: how often AWS is asked, and how long for.
    :param stop: cuts the launch off.
    """

    def __init__(
        self, account: Account, journal: Journal, identity: SessionIdentity, pace: Pace, stop: Stop
    ) -> None:
        self._account = account
        self._journal = journal
        self._identity = identity
        self._pace = pace
        self._stop = stop
        self._entry: int | None = None
        self._asked_at = time.monotonic()
        self._state = _ASKED_FOR
        self._reason = ""
        #: Its id, once RunJobFlow, or a look for its name and tags, has told it.
        self.id: str | None = None

    def launch(self, request: dict[str, Any]) -> None:
        """Have AWS make it, once.

        RunJobFlow takes no token by which AWS would know a request again. So where an answer is lost, what there is of the
        run's name and tags is looked up before it is asked again.

        :param request: of RunJobFlow, with the session's name and tags.
        :raises ClusterRefused: AWS does not take it.
        :raises LaunchUncertain: it cannot be found out whether there is one.
        :raises Stopped: the session ends.
        """
        self._entry = self._journal.intend(
            KIND,
            self._identity.cluster_name,
            region=self._account.region,
            account=self._account.id,
            **self._identity.facts(),
        )
        emr = self._account.client_that_asks_once("emr")
        for _ in range(_LAUNCHES):
            try:
                # Just before the act: who ends the session then knows that there is none.
                self._stop.wait(0)
                self.id = ask(emr, request, self._pace, self._stop.wait, patience=self._pace.start)
            except (errors.IsolatedEmrError, Stopped):
                self._is_none()
                raise
            self.id = self.id or self._find()
            if self.id is not None:
                self._journal.created(self._entry, id=self.id)
                return
        raise errors.LaunchUncertain(
            "The cluster could not be launched: the answers of RunJobFlow got lost.",
            checked=f"{_LAUNCHES} times; each time no cluster {self._identity.cluster_name!r} was found afterwards",
            cure="Look at the network and at https://health.aws.amazon.com, and run again.",
        )

    def _is_none(self) -> None:
        """Note that there is nothing to be removed, unless an answer got lost before."""
        assert self._entry is not None
        if self._state == _ASKED_FOR:
            self._journal.removed(self._entry)
            self._entry = None

    def _find(self) -> str | None:
        """Return the id of the cluster of a RunJobFlow whose answer got lost, if there is one."""
        self._state = "launched, perhaps: AWS's answer got lost"
        try:
            found, doubtful = self._clusters(self._stop.wait).find([self._identity.cluster_name])
        except errors.IsolatedEmrError as error:
            raise self._uncertain(error.checked) from error
        found = [each for each in found if each["Name"] == self._identity.cluster_name]
        if not found and doubtful:
            raise self._uncertain(f"{', '.join(doubtful)}: it has the session's name, and not its tags")
        return str(found[0]["Id"]) if found else None

    def _uncertain(self, checked: str) -> errors.LaunchUncertain:
        return errors.LaunchUncertain(
            "AWS's answer to the launch of the cluster got lost, and whether there is one cannot be found out.",
            checked=checked,
            cure="It is looked for again at the end. Should it be there: it ends by itself when it has nothing to do; "
            "`isolated-emr sweep --delete` ends it sooner.",
        )

    def wait_until_ready(self) -> None:
        """Wait until it takes work.

        :raises ClusterNotReady: it ended instead, or is not ready in the time that it may take.
        :raises IsolatedEmrError: AWS refused to tell of it.
        :raises Stopped: the session ends.
        """
        status, waited = await_ready(self._look, self._pace, self._stop.wait)
        if status["State"] in READY:
            return
        if status["State"] in ENDED:
            raise errors.ClusterNotReady(
                f"The cluster {self.id} ended before it was ready.",
                checked=f"DescribeCluster: {reasons_of(status)}; {self.console}",
                cure=cures.cure_for(status),
            )
        raise errors.ClusterNotReady(
            f"The cluster {self.id} was not ready after {waited / 60:.0f} minutes.",
            checked=f"it is {reasons_of(status)}; {self.console}",
            cure="Look at the cluster's events in the console; a smaller instance type or another subnet may be there sooner.",
        )

    def check(self) -> None:
        """See that it has not ended.

        :raises ClusterEnded: it has.
        :raises IsolatedEmrError: AWS refused to tell, or did not answer.
        """
        status = self._look()
        if status["State"] in (*ENDED, "TERMINATING"):
            raise errors.ClusterEnded(
                f"The session's cluster {self.id} was ended while it was needed.",
                checked=f"DescribeCluster: {reasons_of(status)}; {self.console}",
                cure=cures.cure_for(status),
            )

    def words(self) -> str:
        """Return what it does: state, time, and where to look at it."""
        minutes, seconds = divmod(int(time.monotonic() - self._asked_at), 60)
        where = f", {self.console}" if self.id else ""
        named = f"cluster {self.id}" if self.id else "the cluster"
        reason = f" ({self._reason})" if self._reason else ""
        return f"{named} is {self._state}{reason}, {minutes}:{seconds:02} min{where}"

    @property
    def console(self) -> str:
        """Where AWS's console shows it."""
        region = self._account.region
        host = _CONSOLES.get(self._account.partition, "console.aws.amazon.com")
        return f"https://{region}.{host}/emr/home?region={region}#/clusterDetails/{self.id}"

    def end(self, say: Callable[[str], None], late: Collection[str] = ()) -> tuple[list[str], list[str]]:
        """End it, and all that has the run's name and tags.

        :param say: is told what is being waited for.
        :param late: names of tests' clusters that AWS may have made, and does not list yet.
        :returns: what could not be ended, and why; and what it cost, in words.
        """
        if self._entry is not None and self.id is None:
            late = [*late, self._identity.cluster_name]
        ended, problems = self._clusters(time.sleep).end(self.id, say, late=late)
        if self._entry is not None and not problems:
            self._journal.removed(self._entry)
            self._entry = None
        return problems, [self._cost(cluster) for cluster in ended]

    def _clusters(self, wait: Callable[[float], None]) -> ClustersOfRun:
        identity = self._identity
        return ClustersOfRun(self._account, identity.run_id, identity.place, self._pace, wait)

    def _look(self) -> dict[str, Any]:
        assert self.id is not None
        status: dict[str, Any] = describe(self._account, self.id)["Status"]
        self._state = status["State"]
        self._reason = str(status.get("StateChangeReason", {}).get("Message") or "")
        return status

    def _cost(self, cluster: dict[str, Any]) -> str:
        """Return for how long its instances ran, which is what AWS and its prices count."""
        cluster_id = str(cluster["Id"])
        began = cluster["Status"].get("Timeline", {}).get("CreationDateTime")
        words = f"cluster {cluster_id}"
        try:
            with aws_errors(f"listing the instances of {cluster_id} (elasticmapreduce:ListInstances)"):
                pages = self._account.client("emr").get_paginator("list_instances")
                instances = [
                    each for page in pages.paginate(ClusterId=cluster_id) for each in page["Instances"]
                ]
        except errors.IsolatedEmrError as error:
            return f"{words}: what it cost is not known: {error.checked}"
        now = datetime.now(timezone.utc)
        hours: dict[str, float] = {}
        for each in instances:
            times = each["Status"].get("Timeline", {})
            start, end = times.get("CreationDateTime", began), times.get("EndDateTime", now)
            kind = f"{each.get('InstanceType', 'instance')}{' spot' if each.get('Market') == 'SPOT' else ''}"
            ran = (end - start).total_seconds() / 3600 if start else 0.0
            hours[kind] = hours.get(kind, 0.0) + max(0.0, ran)
        told = ", ".join(f"{ran:.2f} hours of {kind}" for kind, ran in sorted(hours.items()))
        return f"{words} cost {told or 'no instance'}"
