"""What clusters ask for as their instances: checked, and in one form.

The words of the errors are Amazon's, as people have reported them, but for those that docs/emr-fidelity.md names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_isolated_emr.emr.errors import ValidationException
from pytest_isolated_emr.emr.instances import CORE, MASTER, TASK

#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-instance-group-configuration.html
_MAX_GROUPS = 50
#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-ha.html
_HA_MASTERS = 3


def groups_and_fleets(instances: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the groups, or the fleets, that RunJobFlow's Instances ask for.

    :param instances: they, of the right shape.
    :raises ValidationException: they do not go together.
    """
    groups, fleets = instances.get("InstanceGroups") or [], instances.get("InstanceFleets") or []
    count = instances.get("InstanceCount")
    single = count is not None or any(instances.get(f"{role}InstanceType") for role in ("Master", "Slave"))
    if bool(groups) + bool(fleets) + single != 1:
        raise ValidationException(
            "Please configure instances using one and only one of the following: instance groups; instance fleets; "
            "instance count, master and slave instance type."
        )
    if fleets:
        check_fleets(fleets)
        return [], fleets
    if len(instances.get("Ec2SubnetIds") or ()) > 1:
        raise ValidationException(
            "Only one subnet may be specified for clusters configured with instance groups or instance count, "
            "master and slave instance type. Revise the configuration and resubmit."
        )
    if single:
        groups = _groups_of_count(instances, 1 if count is None else count)
    check_groups(groups)
    return groups, []


def _groups_of_count(instances: dict[str, Any], count: int) -> list[dict[str, Any]]:
    if count < 1:
        raise ValidationException("Instance count must be greater than 0.")
    master = instances.get("MasterInstanceType")
    if not master:
        raise _no_master_group()
    groups = [{"InstanceRole": MASTER, "InstanceType": master, "InstanceCount": 1}]
    if count > 1:
        core = instances.get("SlaveInstanceType") or master
        groups.append({"InstanceRole": CORE, "InstanceType": core, "InstanceCount": count - 1})
    return groups


def check_groups(groups: Sequence[dict[str, Any]]) -> None:
    """Refuse instance groups that make no cluster.

    :param groups: InstanceGroupConfigs, of the right shape.
    :raises ValidationException: what is wrong.
    """
    roles = [group["InstanceRole"] for group in groups]
    for role in (MASTER, CORE):
        if roles.count(role) > 1:
            name = role.lower()
            raise ValidationException(
                f"Multiple {name} instance groups supplied, you must specify exactly one {name} instance group"
            )
    if MASTER not in roles:
        raise _no_master_group()
    if TASK in roles and CORE not in roles:
        raise ValidationException("Clusters with task nodes must also define core nodes.")
    if len(groups) > _MAX_GROUPS:
        raise ValidationException(f"A cluster may have at most {_MAX_GROUPS} instance groups.")
    for group in groups:
        check_group(group)


def check_group(group: dict[str, Any]) -> None:
    """Refuse an instance group that cannot be.

    :param group: an InstanceGroupConfig, of the right shape.
    :raises ValidationException: what is wrong.
    """
    role, count = group["InstanceRole"], group["InstanceCount"]
    # A task group may wait with none for its scaling policy.
    if count < (0 if role == TASK else 1):
        raise ValidationException("An instance group must have at least one instance.")
    if role == MASTER and count not in (1, _HA_MASTERS):
        raise ValidationException("Master instance group must have exactly 3 instances for HA clusters.")
    if group.get("BidPrice") and group.get("Market") == "ON_DEMAND":
        raise ValidationException("Attempted to set bid price for on demand instance group.")


def check_fleets(fleets: Sequence[dict[str, Any]]) -> None:
    """Refuse instance fleets that make no cluster.

    :param fleets: InstanceFleetConfigs, of the right shape.
    :raises ValidationException: what is wrong.
    """
    roles = [fleet["InstanceFleetType"] for fleet in fleets]
    for role in (MASTER, CORE, TASK):
        if roles.count(role) > 1:
            name = role.lower()
            raise ValidationException(
                f"Multiple {name} instance fleets supplied, you must specify exactly one {name} instance fleet"
            )
    if TASK in roles and CORE not in roles:
        raise ValidationException("Clusters with task instance fleets must also define core instance fleets.")
    if MASTER not in roles:
        raise ValidationException(
            "No master instance fleets were supplied; you must specify exactly one master instance fleet. "
            "Revise the configuration and resubmit."
        )
    for fleet in fleets:
        check_fleet(fleet)


def check_fleet(fleet: dict[str, Any]) -> None:
    """Refuse an instance fleet that cannot be.

    :param fleet: an InstanceFleetConfig, of the right shape.
    :raises ValidationException: what is wrong.
    """
    name = fleet.get("Name") or "null"
    capacity = (fleet.get("TargetOnDemandCapacity") or 0) + (fleet.get("TargetSpotCapacity") or 0)
    types = [config["InstanceType"] for config in fleet.get("InstanceTypeConfigs") or ()]
    for type_ in types:
        if types.count(type_) > 1:
            raise ValidationException(
                f"The instance fleet: {name} contains duplicate instance types [{type_}]. "
                "Revise the configuration and resubmit."
            )
    if fleet["InstanceFleetType"] == MASTER:
        if capacity != 1:
            raise ValidationException(
                "A master instance fleet can only have a target capacity of 1. "
                "Revise the configuration and resubmit."
            )
    elif capacity < 1:
        raise ValidationException(
            f"The instance fleet ({name}) should have a value of one or greater for either "
            "targetOnDemandCapacity or targetSpotCapacity."
        )


def _no_master_group() -> ValidationException:
    return ValidationException(
        "Zero master instance groups supplied, you must specify exactly one master instance group"
    )
