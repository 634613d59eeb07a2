"""EMR clusters and steps as tests have them in fixtures, wherever the clusters are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_isolated_emr import errors

if TYPE_CHECKING:
    from pytest_isolated_emr.logs_on_s3 import LogOnS3

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_StepStatus.html
STEP_ENDED = frozenset({"COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED"})
#: So much of a log's end is shown, in characters.
TAIL = 4000


class StepLogs(Protocol):
    """The logs of a step that has ended. Where they take minutes to come, only who asks for one waits."""

    @property
    def place(self) -> Path | LogOnS3:
        """The directory of the step's own logs."""

    def stdout(self) -> str:
        """Return what the job printed.

        :raises StepLogsMissing: it is not to be had.
        """

    def stderr(self) -> str:
        """Return what the job printed to standard error.

        :raises StepLogsMissing: it is not to be had.
        """

    def failure(self) -> str:
        """Return what is known at once of why the step failed, and where its logs are."""

    def report(self) -> str:
        """Return what a failed test's report says of the step. Only one that failed is worth a wait."""


@dataclass(frozen=True)
class StepResult:
    """A step that has ended.

    :param cluster_id: its cluster.
    :param step_id: its id.
    :param state: such as ``COMPLETED``.
    :param duration: how long it ran, in seconds.
    :param logs: its logs, as this module needs them.
    """

    cluster_id: str
    step_id: str
    state: str
    duration: float
    logs: StepLogs

    @cached_property
    def stdout(self) -> str:
        """What the job printed; in cluster mode the driver's, which is logged in its container.

        :raises StepLogsMissing: it is not to be had.
        """
        return self.logs.stdout()

    @cached_property
    def stderr(self) -> str:
        """What it printed to standard error, in the same place.

        :raises StepLogsMissing: it is not to be had.
        """
        return self.logs.stderr()

    @property
    def log(self) -> Path | LogOnS3:
        """The directory of its logs. On AWS it is on S3: ``str()`` has the URI, ``(log / "controller").read_text()`` works too."""
        return self.logs.place


class ClustersPlace(Protocol):
    """Where clusters are, and what of them differs by that."""

    @property
    def emr(self) -> Any:
        """A boto3 client of EMR there."""

    def shared_cluster(self) -> str:
        """Return the id of a waiting cluster for all tests of this process.

        :raises IsolatedEmrError: there can be none.
        """

    def make_cluster(self, run_job_flow: dict[str, Any]) -> str:
        """Make another cluster, wait until it is ready, and return its id.

        :param run_job_flow: a test's arguments of RunJobFlow.
        :raises IsolatedEmrError: it cannot be had, or ended instead.
        """

    def wait_for_step(self, cluster_id: str, step_id: str) -> dict[str, Any]:
        """Wait until a step has ended, and return its status as DescribeStep has it.

        :param cluster_id: its cluster.
        :param step_id: its id.
        """

    def logs_of(self, cluster_id: str, step_id: str, status: dict[str, Any]) -> StepLogs:
        """Return the logs of a step that has ended.

        :param cluster_id: its cluster.
        :param step_id: its id.
        :param status: as DescribeStep has it.
        """

    def failures_since(self, moment: float) -> list[tuple[str, str, str]]:
        """Return what else failed since a moment: its id, a title and a text for each, as far as it is known here.

        :param moment: in seconds since the epoch.
        """


class TestsClusters:
    """Makes clusters and runs steps for the tests of one process.

    :param place: where the clusters are.
    """

    __test__ = False

    def __init__(self, place: ClustersPlace) -> None:
        self._place = place
        self._ran: list[StepResult] = []
        self._began = time.time()

    def shared_cluster(self) -> str:
        """Return the id of a waiting cluster for all tests of this process.

        :raises IsolatedEmrError: there can be none.
        """
        return self._place.shared_cluster()

    def make_cluster(self, **request: Any) -> str:
        """Make a cluster, wait until it is ready, and return its id.

        :param request: more for RunJobFlow, or in the place of what it gets by itself.
        :raises ClusterFailed: it ended instead.
        """
        return self._place.make_cluster(request)

    def terminate(self, cluster_id: str) -> None:
        """End a cluster, also a protected one, and do not wait for it.

        :param cluster_id: its id.
        """
        emr = self._place.emr
        if emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["TerminationProtected"]:
            emr.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=False)
        emr.terminate_job_flows(JobFlowIds=[cluster_id])

    def run_step(self, cluster_id: str, *command: str, name: str = "", check: bool = True) -> StepResult:
        """Run a command as a step, wait for its end, and return what it printed.

        :param cluster_id: the cluster to run it on.
        :param command: as ``command-runner.jar`` takes it, such as ``"spark-submit", "s3://bucket/job.py"``.
        :param name: of the step; by default the command.
        :param check: whether a step that fails is an error.
        :raises StepFailed: it did not complete.
        """
        step = {
            "Name": (name or " ".join(command))[:256],
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": [str(part) for part in command]},
        }
        added = self._place.emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step])
        step_id: str = added["StepIds"][0]
        status = self._place.wait_for_step(cluster_id, step_id)
        logs = self._place.logs_of(cluster_id, step_id, status)
        result = StepResult(cluster_id, step_id, status["State"], _duration(status), logs)
        self._ran.append(result)
        if check and result.state != "COMPLETED":
            raise errors.StepFailed(
                f"The step {step_id} of {cluster_id} ended as {result.state}: {' '.join(command)}",
                checked=logs.failure(),
                cure="Mend the job, or pass check=False to look at a failure.",
            )
        return result

    def report(self) -> list[tuple[str, str]]:
        """Return what a failed test's report should say of steps, as titles and texts: those that it ran by the
        fixture, and those that failed meanwhile. Under xdist the latter may be another worker's."""
        sections = [(f"EMR step {step.step_id} ({step.state})", step.logs.report()) for step in self._ran]
        ran = {step.step_id for step in self._ran}
        others = self._place.failures_since(self._began)
        return [*sections, *((title, text) for name, title, text in others if name not in ran)]

    def forget(self) -> None:
        """Forget which steps ran: another test begins."""
        self._ran.clear()
        self._began = time.time()


def _duration(status: dict[str, Any]) -> float:
    times = status["Timeline"]
    if "StartDateTime" not in times or "EndDateTime" not in times:
        return 0.0
    return float((times["EndDateTime"] - times["StartDateTime"]).total_seconds())
