"""A step of a cluster: what was asked for, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.core.utils import utcnow
from moto.emr.models import Step as MotoStep

PENDING, CANCEL_PENDING, RUNNING = "PENDING", "CANCEL_PENDING", "RUNNING"
COMPLETED, CANCELLED, FAILED, INTERRUPTED = "COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED"
#: A step counts as active until it has come to one of its ends.
ACTIVE = (PENDING, CANCEL_PENDING, RUNNING)


@dataclass(frozen=True)
class FailureDetails:
    """Why a step failed, as far as EMR can tell (EMR API reference, FailureDetails).

    :param reason: ``Unknown Error.`` where EMR cannot tell.
    :param message: the text from the log that says why.
    :param log_file: where that log is on S3.
    """

    reason: str
    message: str | None = None
    log_file: str | None = None


class Step(MotoStep):  # type: ignore[misc]
    """One step. Its cluster's lock guards it.

    :param config: RunJobFlow's and AddJobFlowSteps' StepConfig.
    :param execution_role: the role that AddJobFlowSteps named for it.
    """

    def __init__(self, config: dict[str, Any], execution_role: str | None = None) -> None:
        jar_step = config["HadoopJarStep"]
        super().__init__(
            state=PENDING,
            name=config["Name"],
            hadoop_jar_step=jar_step,
            action_on_failure=_action(config.get("ActionOnFailure")),
        )
        self.main_class: str | None = jar_step.get("MainClass")
        self.java_properties: dict[str, str] = {
            entry.get("Key", ""): entry.get("Value", "") for entry in jar_step.get("Properties") or ()
        }
        self.execution_role = execution_role
        self.end_date_time: datetime | None = None
        self.message: str | None = None
        self.failure: FailureDetails | None = None

    @property
    def is_active(self) -> bool:
        """Whether it has not come to an end."""
        return self.state in ACTIVE

    def begin(self) -> None:
        """Note that it runs."""
        self.start_date_time = utcnow()
        self.state = RUNNING

    def end(self, state: str, *, message: str | None = None, failure: FailureDetails | None = None) -> None:
        """Note how it ended.

        :param state: one of the final states.
        :param message: the reason of the change of state.
        :param failure: why it failed.
        """
        self.end_date_time = utcnow()
        self.state, self.message, self.failure = state, message, failure

    def describe(self) -> dict[str, Any]:
        """Return it as DescribeStep does."""
        return self.summarize() | ({"ExecutionRoleArn": self.execution_role} if self.execution_role else {})

    def summarize(self) -> dict[str, Any]:
        """Return it as ListSteps does."""
        return {
            "Id": self.id,
            "Name": self.name,
            "Config": {
                "Jar": self.jar,
                "Properties": self.java_properties,
                "Args": list(self.args),
                **({"MainClass": self.main_class} if self.main_class else {}),
            },
            "ActionOnFailure": self.action_on_failure,
            "Status": self._describe_status(),
        }

    def _describe_status(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "State": self.state,
            "StateChangeReason": {"Message": self.message} if self.message else {},
            "Timeline": self._timeline(),
        }
        if self.failure is not None:
            details = {
                "Reason": self.failure.reason,
                "Message": self.failure.message,
                "LogFile": self.failure.log_file,
            }
            status["FailureDetails"] = {key: value for key, value in details.items() if value is not None}
        return status

    def _timeline(self) -> dict[str, datetime]:
        times = {
            "CreationDateTime": self.creation_date_time,
            "StartDateTime": self.start_date_time,
            "EndDateTime": self.end_date_time,
        }
        return {key: value for key, value in times.items() if value is not None}


def _action(asked: str | None) -> str:
    # DescribeStep shows the new name of the old action (EMR API reference, StepConfig).
    return "TERMINATE_CLUSTER" if asked in (None, "TERMINATE_JOB_FLOW") else asked
