"""Operations on clusters as a whole."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from pytest_isolated_emr.emr import describe, release_labels
from pytest_isolated_emr.emr.clusters import MAX_ACTIVE_STEPS, Cluster
from pytest_isolated_emr.emr.errors import ValidationException, too_many_steps
from pytest_isolated_emr.emr.instance_requests import groups_and_fleets
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.operations.settings import check_concurrency, check_idle_timeout, tags_of
from pytest_isolated_emr.emr.paging import page, page_after

#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-bootstrap.html
_MAX_BOOTSTRAP_ACTIONS = 16


def run_job_flow(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Make a cluster."""
    _check_roles(request)
    _check_release(request)
    if len(request.get("BootstrapActions") or ()) > _MAX_BOOTSTRAP_ACTIONS:
        raise ValidationException(f"A maximum of {_MAX_BOOTSTRAP_ACTIONS} bootstrap actions are allowed.")
    if request.get("AutoTerminationPolicy"):
        check_idle_timeout(request["AutoTerminationPolicy"])
    if len(request.get("Steps") or ()) > MAX_ACTIVE_STEPS:
        raise too_many_steps()
    check_concurrency(request.get("StepConcurrencyLevel", 1))
    tags_of(request.get("Tags") or ())
    groups_and_fleets(request["Instances"])
    security = request.get("SecurityConfiguration")
    if security and security not in backend.security_configurations:
        raise ValidationException(f"Security configuration with name '{security}' does not exist.")
    made = backend.run(request)
    return {"JobFlowId": made.id, "ClusterArn": made.arn}


def _check_roles(request: dict[str, Any]) -> None:
    for name, wording in (("JobFlowRole", "InstanceProfile"), ("ServiceRole", "ServiceRole")):
        if not request.get(name):
            raise ValidationException(f"{wording} is required for creating cluster.")


def _check_release(request: dict[str, Any]) -> None:
    label, ami = request.get("ReleaseLabel"), request.get("AmiVersion")
    if label and ami:
        raise ValidationException(
            "Only one AMI version and release label may be specified. "
            f"Provided AMI: {ami}, release label: {label}."
        )
    if label:
        release_labels.check(label)
    elif not ami and not request["Instances"].get("HadoopVersion"):
        raise ValidationException(
            "Must specify exactly one of the following: release label, AMI version, or Hadoop version."
        )


def describe_cluster(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell all of a cluster."""
    cluster = backend.find_cluster(request["ClusterId"])
    with cluster.changed:
        return {"Cluster": describe.cluster(cluster)}


def list_clusters(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of all clusters, the newest first."""
    wanted = request.get("ClusterStates") or ()

    def tell(cluster: Cluster) -> dict[str, Any]:
        with cluster.changed:
            return describe.cluster_summary(cluster)

    return page_after(
        created_between(backend, request),
        lambda cluster: not wanted or cluster.state in wanted,
        tell,
        "Clusters",
        request,
    )


def created_between(backend: EmrBackend, request: dict[str, Any]) -> list[Cluster]:
    """Return the clusters that were made in the time that a request names, the newest first.

    :param backend: the account's and region's EMR.
    :param request: with CreatedAfter and CreatedBefore, or one of them, or none.
    """
    after, before = _time(request.get("CreatedAfter")), _time(request.get("CreatedBefore"))
    return [
        cluster
        for cluster in reversed(backend.all_clusters())
        if (after is None or _aware(cluster.creation_datetime) > after)
        and (before is None or _aware(cluster.creation_datetime) < before)
    ]


def terminate_job_flows(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """End clusters, but for protected ones."""
    ids = request["JobFlowIds"]
    if len(set(ids)) < len(ids):
        raise ValidationException("Specified job flow ID does not exist.")
    wanted = [backend.find_job_flow(cluster_id) for cluster_id in ids]
    for cluster in wanted:
        if not cluster.termination_protected:
            cluster.terminate()
    if any(cluster.termination_protected and not cluster.is_ending for cluster in wanted):
        raise ValidationException(
            "Could not shut down one or more job flows since they are termination protected."
        )
    return {}


def list_bootstrap_actions(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of a cluster's bootstrap actions, in their order."""
    cluster = backend.find_cluster(request["ClusterId"])
    actions = [
        {
            "Name": action["Name"],
            "ScriptPath": action["ScriptBootstrapAction"]["Path"],
            "Args": action["ScriptBootstrapAction"].get("Args") or [],
        }
        for action in cluster.request.get("BootstrapActions") or ()
    ]
    return page(actions, "BootstrapActions", request)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


def _aware(moment: datetime) -> datetime:
    # moto's clock gives times of UTC that do not say so.
    return moment.replace(tzinfo=timezone.utc)
