"""Clusters on Amazon's own AWS: the session's, which the keeper has, and others that tests make."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from botocore.config import Config

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import cures
from pytest_isolated_emr.backends.emr.account import aws_errors
from pytest_isolated_emr.backends.emr.launch import launch
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.readiness import READY, await_ready, reasons_of
from pytest_isolated_emr.backends.emr.request import overlaid
from pytest_isolated_emr.backends.emr.tags import name_of
from pytest_isolated_emr.backends.emr.termination import ENDED
from pytest_isolated_emr.backends.emr.terms import ClusterTerms
from pytest_isolated_emr.kept_logs_on_aws import KeptLogsOnAws
from pytest_isolated_emr.logs_on_s3 import LogDirectory
from pytest_isolated_emr.session import Session
from pytest_isolated_emr.step_logs_on_aws import StepLogsOnAws, Waiting
from pytest_isolated_emr.tests_clusters import STEP_ENDED

#: As often botocore sends a request that is throttled or not answered.
_ATTEMPTS = 8


class ClustersOnAws:
    """The clusters of a session on AWS.

    :param session: the session.
    :param request: returns the RunJobFlow request that this run asks for.
    :param start_cluster: has the keeper begin the session's cluster.
    :param wait: waits until the session's cluster is ready.
    :param kept_logs: tells where logs will be.
    :param pace: how often AWS is asked, and how long for.
    :param pause: waits for so many seconds.
    :param say: is told what is being waited for.
    """

    def __init__(
        self,
        session: Session,
        request: Callable[[], dict[str, Any]],
        start_cluster: Callable[[], None],
        wait: Callable[[], None],
        *,
        kept_logs: KeptLogsOnAws,
        pace: Pace | None = None,
        pause: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._session = session
        self._request = request
        self._start_cluster = start_cluster
        self._wait = wait
        self._kept_logs = kept_logs
        self._pace = pace or Pace()
        self._pause = pause
        self._say = say
        self._waiting = Waiting(self._pace, pause, say, self._pace.reports)
        self._clients: dict[str, Any] = {}
        self._log_uris: dict[str, str | None] = {}
        self._count = 0

    @property
    def emr(self) -> Any:
        """A boto3 client of EMR."""
        return self._client("emr")

    def shared_cluster(self) -> str:
        """Return the id of the session's own cluster, which waits for work.

        :raises ClusterNotReady: it ended instead.
        :raises IsolatedEmrError: there can be none.
        """
        self._start_cluster()
        self._wait()
        return str(self._session.client.request("cluster_id")["cluster_id"])

    def make_cluster(self, run_job_flow: dict[str, Any]) -> str:
        """Make a cluster beside the session's, wait until it is ready, and return its id.

        :param run_job_flow: a test's arguments of RunJobFlow, over those of the session's cluster.
        :raises ClusterRefused: AWS does not take it.
        :raises ClusterFailed: it ended instead, or was not ready in time.
        :raises IsolatedEmrError: it cannot be had.
        """
        self._count += 1
        # A name that no other cluster has: where an answer is lost it is looked for by that.
        which = f"{self._session.worker}-{self._count} {run_job_flow.get('Name', '')}"
        terms = self._admitted(name_of(self._session.run_id, which))
        request = terms.request(overlaid(self._request(), run_job_flow), which)
        # botocore would send a request again that had its effect already.
        once = self._client("emr", attempts=1)
        try:
            cluster_id = launch(once, request, self._pace, self._pause)
        except errors.ClusterRefused:
            self._session.client.request("forget_cluster", name=request["Name"])
            raise
        try:
            self._wait_until_ready(cluster_id, request["Name"])
        except BaseException:
            # Nobody else knows of it yet.
            self._end(cluster_id)
            raise
        return cluster_id

    def _admitted(self, name: str) -> ClusterTerms:
        """Wait until the session may have a cluster of that name, and return what it has of the session."""
        while waits_for := (answer := self._ask_for(name))["waits_for"]:
            self._say(waits_for)
        return ClusterTerms.from_message(self._session.run_id, answer["session_cluster"])

    def _ask_for(self, name: str) -> dict[str, Any]:
        return self._session.client.request("intend_cluster", name=name)

    def add_step(self, cluster_id: str, step: dict[str, Any]) -> str:
        """Give a cluster a step, and return its id.

        :param cluster_id: the cluster.
        :param step: as AddJobFlowSteps takes it.
        :raises ClusterEnded: the cluster has ended.
        :raises IsolatedEmrError: AWS refuses it, or cannot be asked.
        """
        try:
            with aws_errors(f"adding a step to {cluster_id} (elasticmapreduce:AddJobFlowSteps)"):
                added = self.emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step])
        except errors.AwsRefused as error:
            if has_ended := self._end_of(cluster_id):
                raise errors.ClusterEnded(
                    f"The cluster {cluster_id} has ended, and takes no step.",
                    checked=f"{has_ended}; {error.checked}",
                    cure="Look at the cluster's page in the console, and run again.",
                ) from error
            raise
        return str(added["StepIds"][0])

    def wait_for_step(self, cluster_id: str, step_id: str) -> dict[str, Any]:
        """Wait until a step has ended, and return its status as DescribeStep has it.

        :param cluster_id: its cluster.
        :param step_id: its id.
        :raises ClusterEnded: its cluster has ended, and the step never will.
        :raises IsolatedEmrError: AWS cannot be asked.
        """
        pause = self._pace.poll
        has_ended = ""
        while True:
            with aws_errors(f"asking for the state of the step {step_id} (elasticmapreduce:DescribeStep)"):
                step = self.emr.describe_step(ClusterId=cluster_id, StepId=step_id)["Step"]
            status: dict[str, Any] = step["Status"]
            if status["State"] in STEP_ENDED:
                return status
            if has_ended:
                raise errors.ClusterEnded(
                    f"The cluster {cluster_id} has ended, and its step {step_id} with it.",
                    checked=f"the step is {status['State']}; {has_ended}",
                    cure="Look at the cluster's page in the console, and run again.",
                )
            if pause >= self._pace.longest_poll:
                has_ended = self._end_of(cluster_id)
            self._pause(pause)
            pause = self._pace.longer(pause)

    def logs_of(self, cluster_id: str, step_id: str, status: dict[str, Any]) -> StepLogsOnAws:
        """Return the logs of a step that has ended. They are not read before somebody asks.

        :param cluster_id: its cluster.
        :param step_id: its id.
        :param status: as DescribeStep has it.
        """
        why = []
        if status["State"] != "COMPLETED":
            reason = status.get("StateChangeReason", {}).get("Message")
            why = list(filter(None, [reason and f"the step's state: {reason}", self._end_of(cluster_id)]))
        logs = self._logs_of_cluster(cluster_id)
        own = logs.below("steps", step_id) if logs is not None else None
        whole = self._kept_logs.words_for(cluster_id, own)
        return StepLogsOnAws(logs, step_id, status, whole, why, self._waiting)

    def failures_since(self, _moment: float) -> list[tuple[str, str, str]]:
        """Return nothing: on AWS only a call for each cluster would tell what else failed."""
        return []

    @cached_property
    def _scratch_client(self) -> Any:
        return self._session.scratch_client()

    def _client(self, service: str, *, attempts: int = _ATTEMPTS) -> Any:
        name = f"{service} {attempts}"
        if name not in self._clients:
            config = Config(retries={"mode": "standard", "total_max_attempts": attempts})
            self._clients[name] = self._session.client_of(service, config=config)
        return self._clients[name]

    def _describe(self, cluster_id: str) -> dict[str, Any]:
        with aws_errors(f"asking for the state of {cluster_id} (elasticmapreduce:DescribeCluster)"):
            described: dict[str, Any] = self.emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
        self._log_uris[cluster_id] = described.get("LogUri")
        return described

    def _logs_of_cluster(self, cluster_id: str) -> LogDirectory | None:
        if cluster_id not in self._log_uris:
            self._describe(cluster_id)
        log_uri = self._log_uris[cluster_id]
        if not log_uri:
            return None
        logs = LogDirectory(self._client("s3"), log_uri)
        if f"{logs.uri}/".startswith(f"{self._session.place}/"):
            # A place of the user's own may be in another account's bucket.
            logs = LogDirectory(self._scratch_client, log_uri)
        return logs.below(cluster_id)

    def _end_of(self, cluster_id: str) -> str:
        """Return in words how a cluster ended; empty if it has not."""
        status = self._describe(cluster_id)["Status"]
        state, reason = status["State"], status.get("StateChangeReason", {})
        if state not in ENDED and state != "TERMINATING":
            return ""
        return f"the cluster is {state}: {reason.get('Code', '')}: {reason.get('Message', '')}"

    def _wait_until_ready(self, cluster_id: str, name: str) -> None:
        said = ""

        def look() -> dict[str, Any]:
            nonlocal said
            status: dict[str, Any] = self._describe(cluster_id)["Status"]
            if status["State"] not in {said, *READY, *ENDED}:
                said = status["State"]
                self._say(f"the cluster {cluster_id} ({name}) is {said}")
            return status

        status, waited = await_ready(look, self._pace, self._pause)
        if status["State"] in READY:
            return
        whole = self._kept_logs.words_for(cluster_id, self._logs_of_cluster(cluster_id))
        if status["State"] in ENDED:
            raise errors.ClusterFailed(
                f"The cluster {cluster_id} ended before it was ready: {status['StateChangeReason'].get('Message')}.",
                checked=f"{reasons_of(status)}; {whole}",
                cure=cures.cure_for(status),
            )
        raise errors.ClusterFailed(
            f"The cluster {cluster_id} was not ready in time.",
            checked=f"after {waited:.0f} seconds it is {reasons_of(status)}; {whole}",
            cure="Look at the cluster's page in the console, and run again.",
        )

    def _end(self, cluster_id: str) -> None:
        try:
            if not self._end_of(cluster_id):
                with aws_errors(f"terminating {cluster_id} (elasticmapreduce:TerminateJobFlows)"):
                    self.emr.terminate_job_flows(JobFlowIds=[cluster_id])
        except errors.IsolatedEmrError as error:
            # The keeper knows its name, and ends it with the session.
            self._say(
                f"the cluster {cluster_id} goes on until the session ends: {error.what} {error.checked}"
            )
