"""Operations that change or tell single settings of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_isolated_emr.emr.clusters import (
    MAX_ACTIVE_STEPS,
    TERMINATED,
    TERMINATED_WITH_ERRORS,
    Cluster,
)
from pytest_isolated_emr.emr.errors import InvalidRequestException, ValidationException
from pytest_isolated_emr.emr.models import EmrBackend

#: In seconds: https://docs.aws.amazon.com/emr/latest/APIReference/API_AutoTerminationPolicy.html
_SHORTEST_IDLE, _LONGEST_IDLE = 60, 604800


def add_tags(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tag a cluster."""
    _taggable(backend, request).add_tags(tags_of(request["Tags"]))
    return {}


def tags_of(tags: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return tags by their keys.

    :param tags: as requests have them.
    :raises InvalidRequestException: one of them has no key.
    """
    for tag in tags:
        if not tag.get("Key"):
            raise InvalidRequestException(
                f"Invalid tag key: '{tag.get('Key', 'null')}'. "
                "Tag keys must be between 1 and 128 characters in length."
            )
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def remove_tags(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Remove tags of a cluster."""
    _taggable(backend, request).remove_tags(request["TagKeys"])
    return {}


def _taggable(backend: EmrBackend, request: dict[str, Any]) -> Cluster:
    cluster = backend.find_cluster(request["ResourceId"])
    if cluster.state in (TERMINATED, TERMINATED_WITH_ERRORS):
        raise InvalidRequestException("Tags cannot be modified on terminated clusters.")
    return cluster


def modify_cluster(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Set how many steps run at once."""
    cluster = modifiable(backend.find_cluster(request["ClusterId"]))
    level: int = request.get("StepConcurrencyLevel") or cluster.step_concurrency_level or 1
    check_concurrency(level)
    cluster.step_concurrency_level = level
    cluster.touch()
    return {"StepConcurrencyLevel": level}


def check_concurrency(level: int) -> None:
    """Refuse a number of steps at once that EMR does not take.

    :param level: a StepConcurrencyLevel.
    :raises ValidationException: it is too low or too high.
    """
    if not 1 <= level <= MAX_ACTIVE_STEPS:
        raise ValidationException("Invalid step concurrency level. Allowed level is from 1 to 256")


def set_keep_job_flow_alive_when_no_steps(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Set whether clusters end when they have no step left."""
    for cluster_id in request["JobFlowIds"]:
        cluster = modifiable(backend.find_job_flow(cluster_id))
        cluster.keep_job_flow_alive_when_no_steps = request["KeepJobFlowAliveWhenNoSteps"]
        cluster.touch()
    return {}


def set_termination_protection(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Protect clusters from being ended by a user, or no longer."""
    for cluster_id in request["JobFlowIds"]:
        backend.find_job_flow(cluster_id).set_termination_protection(request["TerminationProtected"])
    return {}


def set_unhealthy_node_replacement(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Set whether instances that fail are replaced; none does."""
    for cluster_id in request["JobFlowIds"]:
        backend.find_job_flow(cluster_id).unhealthy_node_replacement = request["UnhealthyNodeReplacement"]
    return {}


def set_visible_to_all_users(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Set who sees clusters; everybody does."""
    for cluster_id in request["JobFlowIds"]:
        backend.find_job_flow(cluster_id).set_visibility(request["VisibleToAllUsers"])
    return {}


def get_auto_termination_policy(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell after which idle time a cluster ends."""
    policy = backend.find_cluster(request["ClusterId"]).auto_termination
    return {"AutoTerminationPolicy": policy} if policy else {}


def put_auto_termination_policy(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Set after which idle time a cluster ends."""
    cluster = modifiable(backend.find_cluster(request["ClusterId"]))
    policy = request.get("AutoTerminationPolicy") or {}
    check_idle_timeout(policy)
    cluster.auto_termination = policy
    cluster.touch()
    return {}


def check_idle_timeout(policy: dict[str, int]) -> None:
    """Refuse an idle time that EMR does not take.

    :param policy: an AutoTerminationPolicy.
    :raises ValidationException: it is too short or too long, or there is none.
    """
    if not _SHORTEST_IDLE <= policy.get("IdleTimeout", 0) <= _LONGEST_IDLE:
        raise ValidationException(
            f"IdleTimeout must be between {_SHORTEST_IDLE} seconds and {_LONGEST_IDLE} seconds."
        )


def remove_auto_termination_policy(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Let a cluster live while it is idle."""
    cluster = backend.find_cluster(request["ClusterId"])
    cluster.auto_termination = None
    cluster.touch()
    return {}


def get_managed_scaling_policy(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell how a cluster would be scaled."""
    policy = backend.find_cluster(request["ClusterId"]).managed_scaling
    return {"ManagedScalingPolicy": policy} if policy else {}


def put_managed_scaling_policy(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Keep how a cluster would be scaled; here nothing is."""
    modifiable(backend.find_cluster(request["ClusterId"])).managed_scaling = request["ManagedScalingPolicy"]
    return {}


def remove_managed_scaling_policy(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Forget how a cluster would be scaled."""
    backend.find_cluster(request["ClusterId"]).managed_scaling = None
    return {}


def modifiable(cluster: Cluster) -> Cluster:
    """Return a cluster that can still be changed.

    :param cluster: the cluster.
    :raises ValidationException: it ends, or has ended.
    """
    if cluster.is_ending:
        raise ValidationException(
            "A job flow that is shutting down, terminated, or finished may not be modified."
        )
    return cluster
