"""What others do to a session in the middle of a case: tests of it, people with a console, another machine's sweep."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.emr_backend import extras
from tests.emr_backend.bystanders import PREFIX, Bystanders
from tests.emr_backend.cases import Case

_ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")


class Somebody:
    """Does what a case says, past the faults.

    :param case: which one.
    :param bystanders: whose account and bucket it is.
    :param sweep_lapsed: has another machine sweep, for which the lease of a run has lapsed.
    :param longest: so long an end may take, in seconds.
    """

    def __init__(
        self, case: Case, bystanders: Bystanders, sweep_lapsed: Callable[[str], None], longest: float
    ) -> None:
        self._case = case
        self._bystanders = bystanders
        self._sweep_lapsed = sweep_lapsed
        self._longest = longest
        #: What was seen that must not be, in words.
        self.violations: list[str] = []

    @property
    def acts_when_ready(self) -> bool:
        """Whether the session has to wait for it when its cluster is ready."""
        case = self._case
        return (
            case.ended_by_somebody
            or case.loses_lease == "taken"
            or bool({extras.LEFTOVERS, extras.PROTECTION} & set(case.has))
        )

    @property
    def acts_at_the_end(self) -> bool:
        """Whether the session has to wait for it when tests are through, before it is closed."""
        return bool(self._case.loses_lease)

    def when_ready(self, run_id: str, cluster_id: str) -> None:
        """Act when the session's cluster is ready."""
        account, emr = self._bystanders.account, self._bystanders.account.client("emr")
        if extras.LEFTOVERS in self._case.has:
            extras.leave(account, self._bystanders.bucket, f"{PREFIX}/{run_id}")
        if extras.PROTECTION in self._case.has:
            emr.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=True)
        if self._case.ended_by_somebody:
            emr.terminate_job_flows(JobFlowIds=[cluster_id])
        if self._case.loses_lease == "taken":
            self._sweep_lapsed(run_id)

    def at_the_end(self, cluster_id: str) -> None:
        """See that a cluster ends though pytest goes on."""
        emr = self._bystanders.account.client("emr")
        end = time.monotonic() + self._longest
        while time.monotonic() < end:
            if emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] in _ENDED:
                return
            time.sleep(0.05)
        self.violations.append(f"the cluster {cluster_id} goes on, though the lease is lost")
