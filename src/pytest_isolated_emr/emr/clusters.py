"""A cluster: what was asked for, how far it has come, and what can be asked of it meanwhile.

One thread lives a cluster's life (``cluster_life``), each running step has a thread of its own, and requests come in
others. The cluster's lock guards all of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from moto.emr.models import Cluster as MotoCluster
from moto.emr.models import ElasticMapReduceBackend, random_step_id

from pytest_isolated_emr.emr import instances, steps
from pytest_isolated_emr.emr.cluster_files import ClusterFiles
from pytest_isolated_emr.emr.dwell import DWELL_SECONDS
from pytest_isolated_emr.emr.errors import InvalidRequestException, ValidationException, too_many_steps
from pytest_isolated_emr.emr.instance_requests import groups_and_fleets
from pytest_isolated_emr.emr.instances import Instance, InstanceFleet, InstanceGroup, Life
from pytest_isolated_emr.emr.logs import LogUploads
from pytest_isolated_emr.emr.runner import Runner
from pytest_isolated_emr.emr.sessions import ClusterSessions, Session
from pytest_isolated_emr.emr.steps import Step

STARTING, BOOTSTRAPPING, RUNNING, WAITING = "STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"
TERMINATING, TERMINATED, TERMINATED_WITH_ERRORS = "TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"

#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-work-with-steps.html
MAX_ACTIVE_STEPS = 256
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
    """

    def __init__(
        self,
        backend: ElasticMapReduceBackend,
        request: dict[str, Any],
        *,
        files: Callable[[str], ClusterFiles],
        runner: Callable[[str, ClusterFiles, LogUploads], Runner],
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
        self._id_of_next_step = ""
        self.sessions = ClusterSessions()
        self.code: str | None = None
        self.message = "Provisioning Amazon EC2 capacity"
        self.files = files(self.id)
        self.runner = runner(self.id, self.files, LogUploads(self.log_uri, self.id))
        #: Why it ends, once it does.
        self.ending: Ending | None = None
        self._entered = time.monotonic()
        self.idle_since = time.monotonic()
        self.add_steps([Step(config) for config in request.get("Steps") or ()])

    # moto's own constructor calls these to end the cluster's life as soon as it began

    def start_cluster(self) -> None:
        """Be what a new cluster is."""
        self.state = STARTING

    def run_bootstrap_actions(self) -> None:
        """Wait for the cluster's life to run them."""

    def add_steps(self, added: Sequence[Step]) -> None:
        """Put steps into the queue.

        :param added: the steps.
        :raises ValidationException: the cluster ends, or has too many.
        """
        if not added:
            return
        with self.changed:
            if self.ending is not None:
                raise ValidationException(
                    "A job flow that is shutting down, terminated, or finished may not be modified."
                )
            if sum(step.is_active for step in self.steps) + len(added) > MAX_ACTIVE_STEPS:
                raise too_many_steps()
            if self._id_of_next_step:
                added[0].id, self._id_of_next_step = self._id_of_next_step, ""
            self.steps.extend(added)
            self.changed.notify_all()

    def next_step_id(self) -> str:
        """Return the id of the step that begins next, which need not be there yet; empty if there will be none."""
        with self.changed:
            if self.ending is not None:
                return ""
            pending = next((step for step in self.steps if step.state == steps.PENDING), None)
            if pending is not None:
                return str(pending.id)
            if self.auto_terminate:
                return ""
            self._id_of_next_step = self._id_of_next_step or random_step_id()
            return self._id_of_next_step

    # What is asked of it while it lives

    @property
    def is_ending(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self.ending is not None

    def terminate(self, ending: Ending | None = None) -> None:
        """End it, from whatever thread.

        :param ending: why; by default a user asked for it.
        """
        with self.changed:
            if self.ending is None:
                self.ending = ending or Ending("USER_REQUEST", "Terminated by user request")
                self.sessions.end_all()
                self.changed.notify_all()
        self.runner.end()

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
        if not self.runner.cancel_step(step, at_once=at_once):
            # It is being started, or has just ended.
            again = partial(self._cancel_when_started, step, at_once=at_once)
            threading.Thread(target=again, name=f"cancel {step.id}", daemon=True).start()
        return True

    def _cancel_when_started(self, step: Step, *, at_once: bool) -> None:
        while step.is_active and not self.runner.cancel_step(step, at_once=at_once):
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
                request, self.id, f"{self.arn}/session/", self.changed, self.runner.session_server
            )
            self.sessions.add(session)
        threading.Thread(target=session.live, name=session.id, daemon=True).start()
        return session

    def touch(self) -> None:
        """Look anew at what there is to do: a setting was changed."""
        with self.changed:
            self.idle_since = time.monotonic()
            self.changed.notify_all()

    def wait_for(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so of the cluster or its steps, or the time is up.

        :param is_so: looks.
        :param seconds: the most to wait.
        """
        with self.changed:
            self.changed.wait_for(is_so, seconds)

    # What its life does to it, see :class:`~pytest_isolated_emr.emr.cluster_life.ClusterLife`

    def dwell_left(self) -> float:
        """Return how long its state has to last still, in seconds."""
        return self._entered + DWELL_SECONDS - time.monotonic()

    def enter(self, state: str, message: str, code: str | None = None) -> None:
        """Be in a state from now on.

        :param state: the state.
        :param message: why.
        :param code: the code of the reason, if it has one.
        """
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

    def timeline(self) -> dict[str, datetime]:
        """Return when it was made, was ready and ended, as far as it came."""
        times = {
            "CreationDateTime": self.creation_datetime,
            "ReadyDateTime": self.ready_datetime,
            "EndDateTime": self.end_datetime,
        }
        return {key: value for key, value in times.items() if value is not None}
