"""Operations on groups and fleets of instances."""

from __future__ import annotations

from typing import Any

from pytest_isolated_emr.emr import clusters, instance_requests, release_labels
from pytest_isolated_emr.emr.clusters import Cluster
from pytest_isolated_emr.emr.errors import InvalidRequestException, ValidationException
from pytest_isolated_emr.emr.instances import CORE, MASTER, TASK, InstanceFleet, InstanceGroup
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.operations.settings import modifiable
from pytest_isolated_emr.emr.paging import page

_AVAILABLE = (clusters.RUNNING, clusters.WAITING)


def list_instances(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of a cluster's instances."""
    cluster = backend.find_cluster(request["ClusterId"])
    group_id, fleet_id = request.get("InstanceGroupId"), request.get("InstanceFleetId")
    if group_id:
        _group(cluster, group_id)
    if fleet_id:
        _fleet(cluster, fleet_id)
    roles = list(request.get("InstanceGroupTypes") or ())
    if request.get("InstanceFleetType"):
        roles.append(request["InstanceFleetType"])
    states = request.get("InstanceStates") or ()
    with cluster.changed:
        life = cluster.life()
        found = [
            instance.describe(life, {owner.key: owner.id})
            for owner in cluster.owners
            if (not (group_id or fleet_id) or owner.id in (group_id, fleet_id))
            and (not roles or owner.role in roles)
            for instance in owner.instances
            if not states or instance.state(life) in states
        ]
    return page(found, "Instances", request)


def list_instance_groups(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of a cluster's instance groups."""
    cluster = backend.find_cluster(request["ClusterId"])
    _check_has_groups(cluster, "ListInstanceGroups", instead="ListInstanceFleets")
    with cluster.changed:
        found = [group.describe(cluster.life()) for group in cluster.groups]
    return page(found, "InstanceGroups", request)


def list_instance_fleets(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of a cluster's instance fleets."""
    cluster = backend.find_cluster(request["ClusterId"])
    _check_has_fleets(cluster, "ListInstanceFleets", instead="ListInstanceGroups")
    with cluster.changed:
        found = [fleet.describe(cluster.life()) for fleet in cluster.fleets]
    return page(found, "InstanceFleets", request)


def add_instance_groups(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Add groups to a cluster."""
    cluster = modifiable(backend.find_job_flow(request["JobFlowId"]))
    added = add_groups(backend, cluster, request["InstanceGroups"])
    return {
        "JobFlowId": cluster.id,
        "InstanceGroupIds": [group.id for group in added],
        "ClusterArn": cluster.arn,
    }


def add_groups(backend: EmrBackend, cluster: Cluster, configs: list[dict[str, Any]]) -> list[InstanceGroup]:
    """Add groups to a cluster, and return them.

    :param backend: the account's and region's EMR.
    :param cluster: the cluster.
    :param configs: InstanceGroupConfigs, of the right shape.
    :raises ValidationException: the cluster cannot have them.
    """
    _check_has_groups(cluster, "AddInstanceGroups", instead="AddInstanceFleet")
    with cluster.changed:
        instance_requests.check_groups([*(group.config for group in cluster.groups), *configs])
        added = [InstanceGroup(cluster.id, backend.region_name, config) for config in configs]
        cluster.groups.extend(added)
    return added


def modify_instance_groups(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Resize groups, take instances out of them, or note other configurations."""
    wanted = request.get("InstanceGroups") or []
    for config in wanted:
        cluster, group = _find_group(backend, config["InstanceGroupId"], request.get("ClusterId"))
        if cluster.state not in _AVAILABLE:
            raise ValidationException(
                "An instance group may only be modified when the cluster is running or waiting."
            )
        count = config.get("InstanceCount")
        if count is not None and count != group.requested:
            if group.role == MASTER:
                raise ValidationException("The master instance group may not be resized.")
            instance_requests.check_group({**group.config, "InstanceCount": count})
    for config in wanted:
        cluster, group = _find_group(backend, config["InstanceGroupId"], request.get("ClusterId"))
        with cluster.changed:
            _modify(group, config)
    return {}


def _modify(group: InstanceGroup, config: dict[str, Any]) -> None:
    leaving = set(config.get("EC2InstanceIdsToTerminate") or ())
    group.remove([instance for instance in group.active if instance.ec2_id in leaving])
    count = config.get("InstanceCount")
    # A group from which instances were taken stays smaller (EMR API reference, InstanceGroupModifyConfig).
    group.resize(len(group.active) if count is None else count)
    group.shrink_policy = config.get("ShrinkPolicy") or group.shrink_policy
    if "Configurations" in config:
        group.configurations = config["Configurations"]
        group.configurations_version += 1


def add_instance_fleet(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Add a fleet to a cluster."""
    cluster = modifiable(backend.find_cluster(request["ClusterId"]))
    _check_has_fleets(cluster, "AddInstanceFleet", instead="AddInstanceGroups")
    config = request["InstanceFleet"]
    with cluster.changed:
        instance_requests.check_fleets([*(fleet.config for fleet in cluster.fleets), config])
        added = InstanceFleet(backend.region_name, config)
        cluster.fleets.append(added)
    return {"ClusterId": cluster.id, "InstanceFleetId": added.id, "ClusterArn": cluster.arn}


def modify_instance_fleet(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Change the capacity of a fleet."""
    cluster = modifiable(backend.find_cluster(request["ClusterId"]))
    _check_has_fleets(cluster, "ModifyInstanceFleet", instead="ModifyInstanceGroups")
    config = request["InstanceFleet"]
    fleet = _fleet(cluster, config["InstanceFleetId"])
    changed = {key: value for key, value in config.items() if key != "InstanceFleetId"}
    instance_requests.check_fleet({**fleet.config, **changed})
    with cluster.changed:
        fleet.config = {**fleet.config, **changed}
        on_demand, spot = config.get("TargetOnDemandCapacity"), config.get("TargetSpotCapacity")
        fleet.resize(
            fleet.on_demand if on_demand is None else on_demand, fleet.spot if spot is None else spot
        )
    return {}


def put_auto_scaling_policy(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Keep how a group would be scaled; here none is."""
    cluster = modifiable(backend.find_cluster(request["ClusterId"]))
    group = _scalable_group(cluster, request["InstanceGroupId"])
    if group.role not in (CORE, TASK):
        raise ValidationException("An auto scaling policy may be attached to core and task groups only.")
    group.auto_scaling = request["AutoScalingPolicy"]
    return {
        "ClusterId": cluster.id,
        "InstanceGroupId": group.id,
        "AutoScalingPolicy": group.auto_scaling_policy(),
        "ClusterArn": cluster.arn,
    }


def remove_auto_scaling_policy(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Forget how a group would be scaled."""
    cluster = backend.find_cluster(request["ClusterId"])
    _scalable_group(cluster, request["InstanceGroupId"]).auto_scaling = None
    return {}


def _scalable_group(cluster: Cluster, group_id: str) -> InstanceGroup:
    try:
        return _group(cluster, group_id)
    except InvalidRequestException as error:
        # The operations on scaling policies have another code for it.
        raise ValidationException(error.message) from error


def list_supported_instance_types(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell what instances a release runs on."""
    release_labels.check(request["ReleaseLabel"])
    details = backend.instance_types()
    found = [
        details[name] for name in release_labels.instance_types(request["ReleaseLabel"]) if name in details
    ]
    return page(found, "SupportedInstanceTypes", request)


def _find_group(backend: EmrBackend, group_id: str, cluster_id: str | None) -> tuple[Cluster, InstanceGroup]:
    among = [backend.find_cluster(cluster_id)] if cluster_id else backend.all_clusters()
    for cluster in among:
        for group in cluster.groups:
            if group.id == group_id:
                return cluster, group
    raise _no_such("Instance group", group_id)


def _group(cluster: Cluster, group_id: str) -> InstanceGroup:
    for group in cluster.groups:
        if group.id == group_id:
            return group
    raise _no_such("Instance group", group_id)


def _fleet(cluster: Cluster, fleet_id: str) -> InstanceFleet:
    for fleet in cluster.fleets:
        if fleet.id == fleet_id:
            return fleet
    raise _no_such("Instance fleet", fleet_id)


def _no_such(kind: str, id_: str) -> InvalidRequestException:
    return InvalidRequestException(f"{kind} id '{id_}' is not valid.")


def _check_has_groups(cluster: Cluster, operation: str, *, instead: str) -> None:
    if cluster.fleets:
        raise _other_kind("fleets", operation, instead)


def _check_has_fleets(cluster: Cluster, operation: str, *, instead: str) -> None:
    if cluster.groups:
        raise _other_kind("groups", operation, instead)


def _other_kind(kind: str, operation: str, instead: str) -> InvalidRequestException:
    return InvalidRequestException(
        "Instance fleets and instance groups are mutually exclusive. "
        f"The EMR cluster specified in the request uses instance {kind}. "
        f"The {operation} operation does not support clusters that use instance {kind}. "
        f"Use the {instead} operation instead."
    )
