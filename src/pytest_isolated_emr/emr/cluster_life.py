"""The life of a cluster: from STARTING through its bootstrap actions and steps to its end, in a thread of its own."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future

from moto.core.utils import utcnow

from pytest_isolated_emr import errors
from pytest_isolated_emr.emr import instances, steps
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.emr.clusters import (
    BOOTSTRAPPING,
    RUNNING,
    STARTING,
    TERMINATED_WITH_ERRORS,
    TERMINATING,
    WAITING,
    Cluster,
    Ending,
)
from pytest_isolated_emr.emr.steps import FailureDetails, Step

#: How long a cluster that is to end with its steps stays STARTING while it has none, in seconds. Instances of EMR take
#: minutes to start, and clients such as mrjob count on it: they add the first step only when the cluster is made.
FIRST_STEP_SECONDS = 10.0


class ClusterLife:
    """What one cluster does by itself.

    :param cluster: the cluster, new.
    :param spark: waits for the description of its Spark.
    """

    def __init__(self, cluster: Cluster, spark: Callable[[], ClusterSpark]) -> None:
        self._cluster = cluster
        self._spark = spark

    def run(self) -> None:
        """Go through all states. Runs in the cluster's own thread, to the cluster's end."""
        try:
            self._start()
            if not self._cluster.is_ending:
                self._bootstrap()
            self._run_steps()
        except Exception as error:  # noqa: BLE001 - whatever failed, its clients have to see the cluster end
            traceback.print_exc()
            self._cluster.terminate(
                Ending("INTERNAL_ERROR", f"{type(error).__name__}: {error}", TERMINATED_WITH_ERRORS)
            )
        self._shut_down()

    def _start(self) -> None:
        spark = self._wait_for_spark()
        if spark is None:
            return
        self._cluster.enter(STARTING, "Configuring cluster software")
        # Those of the master's group win over the cluster's (EMR Release Guide, "Configure applications").
        of_master = [
            one
            for owner in self._cluster.owners
            if owner.role == instances.MASTER
            for one in owner.configurations
        ]
        asked = [*(self._cluster.request.get("Configurations") or ()), *of_master]
        self._cluster.files.make(spark, asked, self._cluster.release_label)
        if self._cluster.steps or self._cluster.request.get("BootstrapActions"):
            self._cluster.runner.prepare()
        self._cluster.wait_for(
            lambda: bool(self._cluster.steps) or self._cluster.is_ending or not self._cluster.auto_terminate,
            FIRST_STEP_SECONDS,
        )

    def _wait_for_spark(self) -> ClusterSpark | None:
        """Return its Spark once it is known; None if the cluster is ended before that."""
        found: Future[ClusterSpark] = Future()

        def wait() -> None:
            try:
                found.set_result(self._spark())
            except Exception as error:  # noqa: BLE001 - the cluster's own thread raises it again
                found.set_exception(error)
            self._cluster.touch()

        threading.Thread(target=wait, name=f"{self._cluster.id} waits for Spark", daemon=True).start()
        with self._cluster.changed:
            self._cluster.changed.wait_for(lambda: found.done() or self._cluster.is_ending)
        return found.result() if found.done() else None

    def _bootstrap(self) -> None:
        actions = self._cluster.request.get("BootstrapActions") or ()
        if actions:
            self._cluster.enter(BOOTSTRAPPING, "Running bootstrap actions")
        for number, action in enumerate(actions, 1):
            script = action["ScriptBootstrapAction"]
            instance = self._cluster.master_instance_id
            returncode = self._cluster.runner.run_bootstrap_action(
                number, script["Path"], script.get("Args") or [], instance
            )
            if self._cluster.ending is not None:
                return
            if returncode != 0:
                if returncode is None:
                    error = "BOOTSTRAP_FAILURE_BA_DOWNLOAD_FAILED_PRIMARY"
                    message = (
                        f"Master instance ({instance}) failed attempting to download bootstrap action {number} "
                        "file from S3"
                    )
                else:
                    error = "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE"
                    message = (
                        f"On the master instance ({instance}), bootstrap action {number} "
                        "returned a non-zero return code"
                    )
                self._cluster.terminate(Ending("BOOTSTRAP_FAILURE", message, TERMINATED_WITH_ERRORS, error))
                return
        self._cluster.ready_datetime = utcnow()

    def _run_steps(self) -> None:
        with self._cluster.changed:
            while self._cluster.ending is None:
                running = sum(
                    step.state in (steps.RUNNING, steps.CANCEL_PENDING) for step in self._cluster.steps
                )
                pending = [step for step in self._cluster.steps if step.state == steps.PENDING]
                for step in pending[: max(0, self._cluster.step_concurrency_level - running)]:
                    step.begin()
                    threading.Thread(target=self._run_step, args=(step,), name=step.id, daemon=True).start()
                if running or pending:
                    self._cluster.enter(RUNNING, "Running step")
                    self._cluster.changed.wait()
                    # It is idle from now on, if what it waited for was the end of its last step.
                    self._cluster.idle_since = time.monotonic()
                elif self._cluster.auto_terminate:
                    self._cluster.ending = Ending("ALL_STEPS_COMPLETED", "Steps completed")
                elif self._cluster.state == RUNNING and self._cluster.dwell_left() > 0:
                    self._cluster.changed.wait(self._cluster.dwell_left())
                else:
                    self._cluster.enter(WAITING, self._why_it_waits())
                    self._wait_while_idle()

    def _why_it_waits(self) -> str:
        ends = [(step.end_date_time, step.state) for step in self._cluster.steps if step.start_date_time]
        if not ends:
            return "Cluster ready to run steps."
        return f"Cluster ready after last step {max(ends)[1].lower()}."

    def _wait_while_idle(self) -> None:
        if self._cluster.auto_termination is None:
            self._cluster.changed.wait()
            return
        if self._cluster.sessions.active():
            # Their servers are applications of YARN: with one of those a cluster is not idle.
            self._cluster.changed.wait()
            self._cluster.idle_since = time.monotonic()
            return
        left = self._cluster.idle_since + self._cluster.auto_termination["IdleTimeout"] - time.monotonic()
        if left <= 0:
            self._cluster.ending = Ending(
                "USER_REQUEST", "Terminated by auto-termination policy: the cluster was idle"
            )
        else:
            self._cluster.changed.wait(left)

    def _run_step(self, step: Step) -> None:
        try:
            failure = self._cluster.runner.run_step(step, self._cluster.next_step_id)
        except Exception as error:  # noqa: BLE001 - the step has to end, and its clients to be told
            traceback.print_exc()
            failure = FailureDetails("Unknown Error.", f"{type(error).__name__}: {error}")
        with self._cluster.changed:
            if step.state == steps.CANCEL_PENDING or (
                self._cluster.ending is not None and failure is not None
            ):
                step.end(steps.CANCELLED)
            elif failure is None:
                step.end(steps.COMPLETED)
            else:
                step.end(steps.FAILED, failure=failure)
                self._act_on_failure(step)
            self._cluster.changed.notify_all()

    def _act_on_failure(self, failed: Step) -> None:
        if self._cluster.step_concurrency_level > 1:
            # Then no step decides over others (EMR API reference, ModifyCluster).
            return
        # A protected cluster that is kept alive does not end by its steps (EMR Management Guide, "Using termination
        # protection": what is left of its steps is cancelled, and it waits).
        is_held = self._cluster.termination_protected and not self._cluster.auto_terminate
        if failed.action_on_failure == "TERMINATE_CLUSTER" and not is_held:
            if self._cluster.ending is None:
                self._cluster.ending = Ending(
                    "STEP_FAILURE", "Shut down as step failed", TERMINATED_WITH_ERRORS
                )
        elif failed.action_on_failure in ("TERMINATE_CLUSTER", "CANCEL_AND_WAIT"):
            for step in self._cluster.steps:
                if step.state == steps.PENDING:
                    step.end(steps.CANCELLED)

    def _shut_down(self) -> None:
        assert self._cluster.ending is not None
        if self._cluster.state in (RUNNING, WAITING) and self._cluster.ending.code != "USER_REQUEST":
            self._dwell()
        with self._cluster.changed:
            self._cluster.enter(TERMINATING, self._cluster.ending.message, self._cluster.ending.code)
            self._cluster.sessions.end_all()
        try:
            self._cluster.runner.end()
        except errors.IsolatedEmrError:
            # The keeper's log says why, and it ends them with the session.
            traceback.print_exc()
        with self._cluster.changed:
            for step in self._cluster.steps:
                if step.state == steps.PENDING:
                    step.end(steps.CANCELLED)
            # The threads of running steps and of sessions see their processes end.
            self._cluster.changed.wait_for(
                lambda: (
                    not any(step.is_active for step in self._cluster.steps)
                    and not self._cluster.sessions.active()
                )
            )
        self._dwell()
        with self._cluster.changed:
            self._cluster.end_datetime = utcnow()
            self._cluster.enter(
                self._cluster.ending.state, self._cluster.ending.message, self._cluster.ending.code
            )

    def _dwell(self) -> None:
        time.sleep(max(0.0, self._cluster.dwell_left()))
