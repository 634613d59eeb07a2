"""A cluster: its states from STARTING to its end, and its steps in their order.

One thread lives a cluster's life; each running step has a thread of its own. The cluster's lock guards all of it.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from moto.core.utils import utcnow
from moto.emr.models import Cluster as MotoCluster
from moto.emr.models import ElasticMapReduceBackend

from pytest_isolated_emr.emr import instances, steps
from pytest_isolated_emr.emr.cluster_files import ClusterFiles
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.emr.dwell import DWELL_SECONDS
from pytest_isolated_emr.emr.errors import InvalidRequestException, ValidationException, too_many_steps
from pytest_isolated_emr.emr.instance_requests import groups_and_fleets
from pytest_isolated_emr.emr.instances import Instance, InstanceFleet, InstanceGroup, Life
from pytest_isolated_emr.emr.logs import LogUploads
from pytest_isolated_emr.emr.runner import Runner
from pytest_isolated_emr.emr.sessions import ClusterSessions, Session
from pytest_isolated_emr.emr.steps import FailureDetails, Step

STARTING, BOOTSTRAPPING, RUNNING, WAITING = "STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"
TERMINATING, TERMINATED, TERMINATED_WITH_ERRORS = "TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"

#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-work-with-steps.html
MAX_ACTIVE_STEPS = 256
#: How long a cluster that is to end with its steps stays STARTING while it has none, in seconds. Instances of EMR take
#: minutes to start, and clients such as mrjob count on it: they add the first step only when the cluster is made.
FIRST_STEP_SECONDS = 10.0
#: How often it is tried to cancel a step that is being started, in seconds.
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Ending:
    """Why a cluster ends.

    :param code: EMR's code of the reason.
    :param message: EMR's words for it.
    :param state: the final state.
    :param error: the code of the error that is the reason, if EMR has one (EMR Management Guide, "Error codes with
        ErrorDetail information").
    """

    code: str
    message: str
    state: str = TERMINATED
    error: str | None = None


def _zone(asked: dict[str, Any], region: str) -> str:
    placement = asked.get("Placement") or {}
    zone: str = placement.get("AvailabilityZone") or (placement.get("AvailabilityZones") or [f"{region}a"])[0]
    return zone


class Cluster(MotoCluster):  # type: ignore[misc]
    """One cluster.

    :param backend: the account's and region's EMR.
    :param request: RunJobFlow's, as it was asked for.
    :param files: makes the cluster's directory, given its id.
    :param runner: makes what runs its commands.
    :param spark: waits for the description of the session's Spark.
    """

    def __init__(
        self,
        backend: ElasticMapReduceBackend,
        request: dict[str, Any],
        *,
        files: Callable[[str], ClusterFiles],
        runner: Callable[[str, ClusterFiles, LogUploads], Runner],
        spark: Callable[[], ClusterSpark],
    ) -> None:
        asked = request.get("Instances") or {}
        super().__init__(
            backend,
            name=request["Name"],
            log_uri=request.get("LogUri"),
            job_flow_role=request.get("JobFlowRole"),
            service_role=request.get("ServiceRole"),
            steps=[],
            instance_attrs={
                "keep_job_flow_alive_when_no_steps": asked.get("KeepJobFlowAliveWhenNoSteps", False),
                "termination_protected": asked.get("TerminationProtected", False),
                "availability_zone": _zone(asked, backend.region_name),
                "ec2_key_name": asked.get("Ec2KeyName"),
                "ec2_subnet_id": asked.get("Ec2SubnetId"),
            },
            visible_to_all_users=request.get("VisibleToAllUsers", True),
            release_label=request.get("ReleaseLabel"),
            step_concurrency_level=request.get("StepConcurrencyLevel", 1),
            security_configuration=request.get("SecurityConfiguration"),
        )
        self.request = request
        self.add_tags({tag["Key"]: tag.get("Value", "") for tag in request.get("Tags") or ()})
        self.auto_termination: dict[str, int] | None = request.get("AutoTerminationPolicy")
        self.managed_scaling: dict[str, Any] | None = request.get("ManagedScalingPolicy")
        self.unhealthy_node_replacement: bool = asked.get("UnhealthyNodeReplacement", False)
        groups, fleets = groups_and_fleets(asked)
        self.groups = [InstanceGroup(self.id, backend.region_name, config) for config in groups]
        self.fleets = [InstanceFleet(backend.region_name, config) for config in fleets]
        if len(self._masters) > 1:
            # https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-ha.html
            self.keep_job_flow_alive_when_no_steps = self.termination_protected = True
        self.changed = threading.Condition()
        self.steps: list[Step] = []
        self.sessions = ClusterSessions()
        self.code: str | None = None
        self.message = "Provisioning Amazon EC2 capacity"
        self._files = files(self.id)
        self._runner = runner(self.id, self._files, LogUploads(self.log_uri, self.id))
        self._spark = spark
        self._ending: Ending | None = None
        self._entered = time.monotonic()
        self._idle_since = time.monotonic()
        self.add_steps([Step(config) for config in request.get("Steps") or ()])

    # moto's own constructor calls these to end the cluster's life as soon as it began

    def start_cluster(self) -> None:
        """Be what a new cluster is."""
        self.state = STARTING

    def run_bootstrap_actions(self) -> None:
        """Wait for the cluster's own thread, see :meth:`live`."""

    def add_steps(self, added: Sequence[Step]) -> None:
        """Put steps into the queue.

        :param added: the steps.
        :raises ValidationException: the cluster ends, or has too many.
        """
        if not added:
            return
        with self.changed:
            if self._ending is not None:
                raise ValidationException(
                    "A job flow that is shutting down, terminated, or finished may not be modified."
                )
            if sum(step.is_active for step in self.steps) + len(added) > MAX_ACTIVE_STEPS:
                raise too_many_steps()
            self.steps.extend(added)
            self.changed.notify_all()

    # What is asked of it while it lives

    @property
    def is_ending(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._ending is not None

    def terminate(self, ending: Ending | None = None) -> None:
        """End it, from whatever thread.

        :param ending: why; by default a user asked for it.
        """
        with self.changed:
            if self._ending is None:
                self._ending = ending or Ending("USER_REQUEST", "Terminated by user request")
                self.sessions.end_all()
                self.changed.notify_all()
        self._runner.end()

    def cancel_step(self, step: Step, *, at_once: bool) -> bool:
        """Cancel a step, and tell whether it could be. It may be asked again, less patiently.

        :param step: the step.
        :param at_once: whether its processes are killed, or asked to end.
        """
        with self.changed:
            if step.state == steps.PENDING:
                step.end(steps.CANCELLED)
                self.changed.notify_all()
                return True
            if step.state not in (steps.RUNNING, steps.CANCEL_PENDING):
                return False
            step.state = steps.CANCEL_PENDING
            self.changed.notify_all()
        if not self._runner.cancel_step(step, at_once=at_once):
            # It is being started, or has just ended.
            again = partial(self._cancel_when_started, step, at_once=at_once)
            threading.Thread(target=again, name=f"cancel {step.id}", daemon=True).start()
        return True

    def _cancel_when_started(self, step: Step, *, at_once: bool) -> None:
        while step.is_active and not self._runner.cancel_step(step, at_once=at_once):
            self.wait_for(lambda: not step.is_active, _LOOK_SECONDS)

    def start_session(self, request: dict[str, Any]) -> Session:
        """Start a Spark Connect session.

        :param request: StartSession's, valid.
        :raises InvalidRequestException: the cluster is not ready, or has too many sessions.
        """
        with self.changed:
            if self.state not in (RUNNING, WAITING) or self.is_ending:
                raise InvalidRequestException(
                    f"Cluster {self.id} must be in the RUNNING or WAITING state to start a session."
                )
            session = Session(
                request, self.id, f"{self.arn}/session/", self.changed, self._runner.session_server
            )
            self.sessions.add(session)
        threading.Thread(target=session.live, name=session.id, daemon=True).start()
        return session

    def touch(self) -> None:
        """Look anew at what there is to do: a setting was changed."""
        with self.changed:
            self._idle_since = time.monotonic()
            self.changed.notify_all()

    def wait_for(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so of the cluster or its steps, or the time is up.

        :param is_so: looks.
        :param seconds: the most to wait.
        """
        with self.changed:
            self.changed.wait_for(is_so, seconds)

    # Its life

    def live(self) -> None:
        """Go through all states. Runs in the cluster's own thread, to the cluster's end."""
        try:
            self._start()
            if not self.is_ending:
                self._bootstrap()
            self._run_steps()
        except Exception as error:  # noqa: BLE001 - whatever failed, its clients have to see the cluster end
            traceback.print_exc()
            self.terminate(
                Ending("INTERNAL_ERROR", f"{type(error).__name__}: {error}", TERMINATED_WITH_ERRORS)
            )
        self._shut_down()

    def _start(self) -> None:
        spark = self._wait_for_spark()
        if spark is None:
            return
        self._enter(STARTING, "Configuring cluster software")
        # Those of the master's group win over the cluster's (EMR Release Guide, "Configure applications").
        of_master = [
            one for owner in self.owners if owner.role == instances.MASTER for one in owner.configurations
        ]
        asked = [*(self.request.get("Configurations") or ()), *of_master]
        self._files.make(spark, asked, self.release_label)
        self.wait_for(
            lambda: bool(self.steps) or self.is_ending or not self.auto_terminate, FIRST_STEP_SECONDS
        )

    def _wait_for_spark(self) -> ClusterSpark | None:
        """Return the session's Spark once it is known; None if the cluster is ended before that."""
        found: Future[ClusterSpark] = Future()

        def wait() -> None:
            try:
                found.set_result(self._spark())
            except Exception as error:  # noqa: BLE001 - the cluster's own thread raises it again
                found.set_exception(error)
            self.touch()

        threading.Thread(target=wait, name=f"{self.id} waits for Spark", daemon=True).start()
        with self.changed:
            self.changed.wait_for(lambda: found.done() or self.is_ending)
        return found.result() if found.done() else None

    def _bootstrap(self) -> None:
        actions = self.request.get("BootstrapActions") or ()
        if actions:
            self._enter(BOOTSTRAPPING, "Running bootstrap actions")
        for number, action in enumerate(actions, 1):
            script = action["ScriptBootstrapAction"]
            instance = self.master_instance_id
            returncode = self._runner.run_bootstrap_action(
                number, script["Path"], script.get("Args") or [], instance
            )
            if self._ending is not None:
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
                self.terminate(Ending("BOOTSTRAP_FAILURE", message, TERMINATED_WITH_ERRORS, error))
                return
        self.ready_datetime = utcnow()

    def _run_steps(self) -> None:
        with self.changed:
            while self._ending is None:
                running = sum(step.state in (steps.RUNNING, steps.CANCEL_PENDING) for step in self.steps)
                pending = [step for step in self.steps if step.state == steps.PENDING]
                for step in pending[: max(0, self.step_concurrency_level - running)]:
                    step.begin()
                    threading.Thread(target=self._run_step, args=(step,), name=step.id, daemon=True).start()
                if running or pending:
                    self._idle_since = time.monotonic()
                    self._enter(RUNNING, "Running step")
                    self.changed.wait()
                    # It is idle from now on, if what it waited for was the end of its last step.
                    self._idle_since = time.monotonic()
                elif self.auto_terminate:
                    self._ending = Ending("ALL_STEPS_COMPLETED", "Steps completed")
                elif self.state == RUNNING and self._dwell_left() > 0:
                    self.changed.wait(self._dwell_left())
                else:
                    self._enter(WAITING, self._why_it_waits())
                    self._wait_while_idle()

    def _why_it_waits(self) -> str:
        ends = [(step.end_date_time, step.state) for step in self.steps if step.start_date_time]
        if not ends:
            return "Cluster ready to run steps."
        return f"Cluster ready after last step {max(ends)[1].lower()}."

    def _wait_while_idle(self) -> None:
        if self.auto_termination is None:
            self.changed.wait()
            return
        if self.sessions.active():
            # Their servers are applications of YARN: with one of those a cluster is not idle.
            self.changed.wait()
            self._idle_since = time.monotonic()
            return
        left = self._idle_since + self.auto_termination["IdleTimeout"] - time.monotonic()
        if left <= 0:
            self._ending = Ending(
                "USER_REQUEST", "Terminated by auto-termination policy: the cluster was idle"
            )
        else:
            self.changed.wait(left)

    def _run_step(self, step: Step) -> None:
        try:
            failure = self._runner.run_step(step)
        except Exception as error:  # noqa: BLE001 - the step has to end, and its clients to be told
            traceback.print_exc()
            failure = FailureDetails("Unknown Error.", f"{type(error).__name__}: {error}")
        with self.changed:
            if step.state == steps.CANCEL_PENDING or (self._ending is not None and failure is not None):
                step.end(steps.CANCELLED)
            elif failure is None:
                step.end(steps.COMPLETED)
            else:
                step.end(steps.FAILED, failure=failure)
                self._act_on_failure(step)
            self.changed.notify_all()

    def _act_on_failure(self, failed: Step) -> None:
        if self.step_concurrency_level > 1:
            # Then no step decides over others (EMR API reference, ModifyCluster).
            return
        # A protected cluster that is kept alive does not end by its steps (EMR Management Guide, "Using termination
        # protection": what is left of its steps is cancelled, and it waits).
        is_held = self.termination_protected and not self.auto_terminate
        if failed.action_on_failure == "TERMINATE_CLUSTER" and not is_held:
            if self._ending is None:
                self._ending = Ending("STEP_FAILURE", "Shut down as step failed", TERMINATED_WITH_ERRORS)
        elif failed.action_on_failure in ("TERMINATE_CLUSTER", "CANCEL_AND_WAIT"):
            for step in self.steps:
                if step.state == steps.PENDING:
                    step.end(steps.CANCELLED)

    def _shut_down(self) -> None:
        assert self._ending is not None
        if self.state in (RUNNING, WAITING) and self._ending.code != "USER_REQUEST":
            self._dwell()
        with self.changed:
            self._enter(TERMINATING, self._ending.message, self._ending.code)
            self.sessions.end_all()
        self._runner.end()
        with self.changed:
            for step in self.steps:
                if step.state == steps.PENDING:
                    step.end(steps.CANCELLED)
            # The threads of running steps and of sessions see their processes end.
            self.changed.wait_for(
                lambda: not any(step.is_active for step in self.steps) and not self.sessions.active()
            )
        self._dwell()
        with self.changed:
            self.end_datetime = utcnow()
            self._enter(self._ending.state, self._ending.message, self._ending.code)

    def _dwell(self) -> None:
        time.sleep(max(0.0, self._dwell_left()))

    def _dwell_left(self) -> float:
        return self._entered + DWELL_SECONDS - time.monotonic()

    def _enter(self, state: str, message: str, code: str | None = None) -> None:
        with self.changed:
            self.message, self.code = message, code
            if state != self.state:
                self.state, self._entered = state, time.monotonic()
            self.changed.notify_all()

    # What is told of it

    @property
    def owners(self) -> list[InstanceGroup | InstanceFleet]:
        """Its groups or fleets of instances."""
        return [*self.groups, *self.fleets]

    @property
    def master(self) -> Instance:
        """The instance that runs its bootstrap actions and steps, as far as clients can tell."""
        return self._masters[0]

    @property
    def master_instance_id(self) -> str:
        """EC2's id of that instance; it is in reasons and in the places of logs."""
        return self.master.ec2_id

    @property
    def _masters(self) -> list[Instance]:
        return [
            instance
            for owner in self.owners
            if owner.role == instances.MASTER
            for instance in owner.instances
        ]

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """Return what ``Fn::GetAtt`` asks moto's CloudFormation for.

        :param attribute_name: such as ``MasterPublicDNS``.
        """
        if attribute_name == "MasterPublicDNS":
            return self.master.dns_name
        attribute: str = super().get_cfn_attribute(attribute_name)
        return attribute

    def life(self) -> Life:
        """Return how far it has come, for its instances."""
        if self.state in (TERMINATED, TERMINATED_WITH_ERRORS):
            state = instances.TERMINATED
        elif self.state == TERMINATING:
            state = instances.TERMINATING
        elif self.state in (RUNNING, WAITING):
            state = instances.RUNNING
        else:
            state = instances.BOOTSTRAPPING if self.state == BOOTSTRAPPING else instances.PROVISIONING
        return Life(state, self.ready_datetime, self.end_datetime)

    def find_step(self, step_id: str) -> Step | None:
        """Return the step of an id, if it has one.

        :param step_id: the id.
        """
        return next((step for step in self.steps if step.id == step_id), None)

    @property
    def ending(self) -> Ending | None:
        """Why it ends, if it does."""
        return self._ending

    def timeline(self) -> dict[str, datetime]:
        """Return when it was made, was ready and ended, as far as it came."""
        times = {
            "CreationDateTime": self.creation_datetime,
            "ReadyDateTime": self.ready_datetime,
            "EndDateTime": self.end_datetime,
        }
        return {key: value for key, value in times.items() if value is not None}
