"""EMR clusters and steps as tests have them in fixtures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.emr.cluster_directory import applications_of, logs_of
from pytest_isolated_emr.emr.failed_commands import failed_since
from pytest_isolated_emr.emr.wait_header import WAIT_HEADER
from pytest_isolated_emr.kept_logs import KeptLogs
from pytest_isolated_emr.session import Session

_TAIL = 4000
#: How long one answer is waited for, in seconds; then it is asked for again.
_PATIENCE = 30


@dataclass(frozen=True)
class StepResult:
    """A step that has ended.

    :param cluster_id: its cluster.
    :param step_id: its id.
    :param state: such as ``COMPLETED``.
    :param stdout: what the job printed; in cluster mode the driver's, which is logged in its container.
    :param stderr: what it printed to standard error, in the same place.
    :param duration: how long it ran, in seconds.
    :param log: the directory of its logs.
    """

    cluster_id: str
    step_id: str
    state: str
    stdout: str
    stderr: str
    duration: float
    log: Path


class TestsClusters:
    """Makes clusters and runs steps for the tests of one process.

    :param session: the session.
    :param release: the label of the EMR release of clusters for which a test names no other.
    :param kept_logs: tells where logs will be.
    """

    __test__ = False

    def __init__(self, session: Session, release: str, kept_logs: KeptLogs) -> None:
        self._session = session
        self._release = release
        self._kept_logs = kept_logs
        self._client: Any = None
        self._ran: list[StepResult] = []
        self._began = time.time()

    def make_cluster(self, **request: Any) -> str:
        """Make a cluster, wait until it is ready, and return its id.

        :param request: more for RunJobFlow, or in the place of what it gets by itself.
        :raises ClusterFailed: it ended instead.
        """
        asked = request.pop("Instances", {})
        instances: dict[str, Any] = {"KeepJobFlowAliveWhenNoSteps": True}
        if not {"InstanceGroups", "InstanceFleets"} & set(asked):
            instances |= {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1}
        instances |= asked
        defaults = {
            "Name": f"isolated-emr {self._session.run_id}",
            "ReleaseLabel": self._release,
            "Applications": [{"Name": "Spark"}],
            "JobFlowRole": "EMR_EC2_DefaultRole",
            "ServiceRole": "EMR_DefaultRole",
        }
        cluster_id: str = self._emr().run_job_flow(**defaults | {"Instances": instances} | request)[
            "JobFlowId"
        ]
        while True:
            status = self._emr().describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]
            if status["State"] in ("WAITING", "TERMINATED", "TERMINATED_WITH_ERRORS"):
                break
        if status["State"] != "WAITING":
            raise errors.ClusterFailed(
                f"The cluster {cluster_id} ended before it was ready: {status['StateChangeReason'].get('Message')}.",
                checked=self._kept_logs.words_for(logs_of(self._session.directory, cluster_id)),
                cure="Mend what the logs of its bootstrap actions name.",
            )
        return cluster_id

    def terminate(self, cluster_id: str) -> None:
        """End a cluster, also a protected one, and do not wait for it.

        :param cluster_id: its id.
        """
        emr = self._emr()
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
        emr = self._emr()
        step_id: str = emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step])["StepIds"][0]
        while True:
            status = emr.describe_step(ClusterId=cluster_id, StepId=step_id)["Step"]["Status"]
            if status["State"] in ("COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED"):
                break
        result = self._result(cluster_id, step_id, status)
        self._ran.append(result)
        if check and result.state != "COMPLETED":
            raise errors.StepFailed(
                f"The step {step_id} of {cluster_id} ended as {result.state}: {' '.join(command)}",
                checked=f"{self._kept_logs.words_for(result.log)}; standard error ends with:\n{result.stderr[-_TAIL:]}",
                cure="Mend the job, or pass check=False to look at a failure.",
            )
        return result

    def report(self) -> list[tuple[str, str]]:
        """Return what a failed test's report should say of steps, as titles and texts: those that it ran by the
        fixture, and those that failed meanwhile. Under xdist the latter may be another worker's."""
        sections = [
            (f"EMR step {step.step_id} ({step.state})", self._ending(step.stderr, step.log))
            for step in self._ran
        ]
        ran = {step.step_id for step in self._ran}
        for failed in failed_since(self._session.directory, self._began):
            if failed.name not in ran:
                driver = self._driver_logs(failed.cluster_id, failed.name) if failed.is_step else failed.logs
                title = f"EMR {'step ' if failed.is_step else ''}{failed.name} of {failed.cluster_id}"
                sections.append(
                    (
                        f"{title} (exit code {failed.exit_code})",
                        self._ending(_text(driver / "stderr"), failed.logs),
                    )
                )
        return sections

    def forget(self) -> None:
        """Forget which steps ran: another test begins."""
        self._ran.clear()
        self._began = time.time()

    def _ending(self, text: str, log: Path) -> str:
        return f"{text[-_TAIL:].strip()}\n({self._kept_logs.words_for(log)})"

    def _emr(self) -> Any:
        if self._client is None:
            from botocore.config import Config

            config = Config(read_timeout=_PATIENCE * 2)
            self._client = self._session.client_of("emr", config=config)
            for operation in ("DescribeStep", "DescribeCluster"):
                self._client.meta.events.register_first(f"before-sign.emr.{operation}", _ask_to_wait)
        return self._client

    def _driver_logs(self, cluster_id: str, step_id: str) -> Path:
        logs = logs_of(self._session.directory, cluster_id)
        driver = logs / "steps" / step_id
        for application in applications_of(self._session.directory, cluster_id, step_id):
            # One in client mode has no container: its driver is the step's own process.
            for container in sorted((logs / "containers" / application).glob("container_*")):
                driver = container
        return driver

    def _result(self, cluster_id: str, step_id: str, status: dict[str, Any]) -> StepResult:
        logs = logs_of(self._session.directory, cluster_id)
        place = logs / "steps" / step_id
        driver = self._driver_logs(cluster_id, step_id)
        times = status["Timeline"]
        ended = times.get("EndDateTime")
        duration = (
            (ended - times["StartDateTime"]).total_seconds() if ended and "StartDateTime" in times else 0.0
        )
        return StepResult(
            cluster_id,
            step_id,
            status["State"],
            _text(driver / "stdout"),
            _text(driver / "stderr"),
            duration,
            place,
        )


def _ask_to_wait(request: Any, **_kwargs: Any) -> None:
    request.headers[WAIT_HEADER] = str(_PATIENCE)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
