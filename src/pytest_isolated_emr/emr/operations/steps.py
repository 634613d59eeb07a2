"""Operations on steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_isolated_emr.emr.clusters import Cluster
from pytest_isolated_emr.emr.errors import InvalidRequestException, ValidationException
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.paging import page_after
from pytest_isolated_emr.emr.steps import Step

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_ListSteps.html
_MAX_STEP_IDS = 10


def add_job_flow_steps(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Put steps into a cluster's queue."""
    cluster = backend.find_job_flow(request["JobFlowId"])
    _check_actions(request["Steps"], cluster.step_concurrency_level)
    added = [Step(config, request.get("ExecutionRoleArn")) for config in request["Steps"]]
    cluster.add_steps(added)
    return {"StepIds": [step.id for step in added]}


def _check_actions(configs: Sequence[dict[str, Any]], concurrency: int) -> None:
    """Refuse actions that say of one step what becomes of others that run at the same time.

    :param configs: the steps.
    :param concurrency: how many run at once.
    :raises ValidationException: one of them has such an action.
    """
    if concurrency > 1:
        for config in configs:
            action = config.get("ActionOnFailure", "CONTINUE")
            if action != "CONTINUE":
                raise ValidationException(f"Action on failure '{action}' is invalid.")


def describe_step(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell all of a step."""
    cluster = backend.find_cluster(request["ClusterId"])
    with cluster.changed:
        return {"Step": backend.find_step(cluster.id, request["StepId"]).describe()}


def list_steps(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of a cluster's steps: the newest first, unless some are asked for."""
    cluster = backend.find_cluster(request["ClusterId"])
    ids, states = request.get("StepIds") or (), request.get("StepStates") or ()
    if ids and states:
        raise InvalidRequestException("Cannot specify both StepIds and StepStates.")
    if len(ids) > _MAX_STEP_IDS:
        raise InvalidRequestException(f"A maximum of {_MAX_STEP_IDS} step ids may be specified.")
    for step_id in ids:
        backend.find_step(cluster.id, step_id)

    def is_wanted(step: Step) -> bool:
        return (not ids or step.id in ids) and (not states or step.state in states)

    with cluster.changed:
        ordered = cluster.steps if ids or states else cluster.steps[::-1]
        return page_after(ordered, is_wanted, Step.summarize, "Steps", request)


def cancel_steps(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Cancel steps that wait or run."""
    cluster = backend.find_cluster(request["ClusterId"])
    at_once = request.get("StepCancellationOption") == "TERMINATE_PROCESS"
    return {"CancelStepsInfoList": [_cancel(cluster, step_id, at_once) for step_id in request["StepIds"]]}


def _cancel(cluster: Cluster, step_id: str, at_once: bool) -> dict[str, str]:
    step = cluster.find_step(step_id)
    if step is None:
        return {"StepId": step_id, "Status": "FAILED", "Reason": f"Step id '{step_id}' is not valid."}
    state = step.state
    if not cluster.cancel_step(step, at_once=at_once):
        return {"StepId": step_id, "Status": "FAILED", "Reason": f"Unable to cancel step in {state} state."}
    return {"StepId": step_id, "Status": "SUBMITTED"}
