"""Clusters of the session's private EMR: their logs are on this machine, and answers wait for an end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.emr.cluster_directory import applications_of, logs_of
from pytest_isolated_emr.emr.failed_commands import failed_since
from pytest_isolated_emr.emr.wait_header import WAIT_HEADER
from pytest_isolated_emr.kept_logs import KeptLogs
from pytest_isolated_emr.session import Session
from pytest_isolated_emr.tests_clusters import STEP_ENDED, TAIL

#: How long one answer is waited for, in seconds; then it is asked for again.
_PATIENCE = 30


@dataclass(frozen=True)
class StepLogsHere:
    """The logs of a step, as they were at its end.

    :param place: the directory of the step's own logs.
    :param out: what the driver printed.
    :param err: what it printed to standard error.
    :param whole: where the whole log is, in words.
    """

    place: Path
    out: str
    err: str
    whole: str

    def stdout(self) -> str:
        """Return what the job printed."""
        return self.out

    def stderr(self) -> str:
        """Return what the job printed to standard error."""
        return self.err

    def failure(self) -> str:
        """Return what is known of why the step failed, and where its logs are."""
        return f"{self.whole}; standard error ends with:\n{self.err[-TAIL:]}"

    def report(self) -> str:
        """Return what a failed test's report says of the step."""
        return f"{self.err[-TAIL:].strip()}\n({self.whole})"


class ClustersHere:
    """The clusters of the private EMR.

    :param session: the session.
    :param release: the label of the EMR release of clusters for which a test names no other.
    :param kept_logs: tells where logs will be.
    """

    def __init__(self, session: Session, release: str, kept_logs: KeptLogs) -> None:
        self._session = session
        self._release = release
        self._kept_logs = kept_logs
        self._client: Any = None

    @property
    def emr(self) -> Any:
        """A boto3 client of EMR, for which DescribeStep and DescribeCluster wait."""
        if self._client is None:
            from botocore.config import Config

            config = Config(read_timeout=_PATIENCE * 2)
            self._client = self._session.client_of("emr", config=config)
            for operation in ("DescribeStep", "DescribeCluster"):
                self._client.meta.events.register_first(f"before-sign.emr.{operation}", _ask_to_wait)
        return self._client

    def shared_cluster(self) -> str:
        """Return the id of a waiting cluster for all tests of this process.

        :raises ClusterFailed: it ended instead.
        """
        return self.make_cluster({})

    def make_cluster(self, run_job_flow: dict[str, Any]) -> str:
        """Make a cluster, wait until it is ready, and return its id.

        :param run_job_flow: a test's arguments of RunJobFlow.
        :raises ClusterFailed: it ended instead.
        """
        asked = run_job_flow.get("Instances", {})
        instances: dict[str, Any] = {"KeepJobFlowAliveWhenNoSteps": True}
        if not {"InstanceGroups", "InstanceFleets"} & set(asked):
            instances |= {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1}
        defaults = {
            "Name": f"isolated-emr {self._session.run_id}",
            "ReleaseLabel": self._release,
            "Applications": [{"Name": "Spark"}],
            "JobFlowRole": "EMR_EC2_DefaultRole",
            "ServiceRole": "EMR_DefaultRole",
        }
        request = defaults | run_job_flow | {"Instances": instances | asked}
        cluster_id: str = self.emr.run_job_flow(**request)["JobFlowId"]
        while True:
            status = self.emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]
            if status["State"] in ("WAITING", "TERMINATED", "TERMINATED_WITH_ERRORS"):
                break
        if status["State"] != "WAITING":
            raise errors.ClusterFailed(
                f"The cluster {cluster_id} ended before it was ready: {status['StateChangeReason'].get('Message')}.",
                checked=self._kept_logs.words_for(logs_of(self._session.directory, cluster_id)),
                cure="Mend what the logs of its bootstrap actions name.",
            )
        return cluster_id

    def wait_for_step(self, cluster_id: str, step_id: str) -> dict[str, Any]:
        """Wait until a step has ended, and return its status as DescribeStep has it.

        :param cluster_id: its cluster.
        :param step_id: its id.
        """
        while True:
            described = self.emr.describe_step(ClusterId=cluster_id, StepId=step_id)
            status: dict[str, Any] = described["Step"]["Status"]
            if status["State"] in STEP_ENDED:
                return status

    def logs_of(self, cluster_id: str, step_id: str, _status: dict[str, Any]) -> StepLogsHere:
        """Return the logs of a step that has ended.

        :param cluster_id: its cluster.
        :param step_id: its id.
        """
        place = logs_of(self._session.directory, cluster_id) / "steps" / step_id
        driver = self._driver_logs(cluster_id, step_id)
        return StepLogsHere(
            place, _text(driver / "stdout"), _text(driver / "stderr"), self._kept_logs.words_for(place)
        )

    def failures_since(self, moment: float) -> list[tuple[str, str, str]]:
        """Return which steps and bootstrap actions failed since a moment: name, title and text of each.

        :param moment: in seconds since the epoch.
        """
        found = []
        for failed in failed_since(self._session.directory, moment):
            driver = self._driver_logs(failed.cluster_id, failed.name) if failed.is_step else failed.logs
            kind = "step " if failed.is_step else ""
            title = f"EMR {kind}{failed.name} of {failed.cluster_id} (exit code {failed.exit_code})"
            whole = self._kept_logs.words_for(failed.logs)
            logs = StepLogsHere(failed.logs, "", _text(driver / "stderr"), whole)
            found.append((failed.name, title, logs.report()))
        return found

    def _driver_logs(self, cluster_id: str, step_id: str) -> Path:
        logs = logs_of(self._session.directory, cluster_id)
        driver = logs / "steps" / step_id
        for application in applications_of(self._session.directory, cluster_id, step_id):
            # One in client mode has no container: its driver is the step's own process.
            for container in sorted((logs / "containers" / application).glob("container_*")):
                driver = container
        return driver


def _ask_to_wait(request: Any, **_kwargs: Any) -> None:
    request.headers[WAIT_HEADER] = str(_PATIENCE)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
