"""The instances that a cluster says it has. There are none: its commands run where the session's backend runs them."""

from __future__ import annotations

from typing import Any

from moto.emr.utils import random_id
from moto.moto_api._internal import mock_random


class Instances:
    """What RunJobFlow asked for: groups, fleets, or a number of one type.

    :param asked: RunJobFlow's ``Instances``.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        self.groups: list[dict[str, Any]] = []
        self.fleets: list[dict[str, Any]] = []
        self.master_id = _instance_id()
        for group in asked.get("InstanceGroups") or _groups_of_old(asked):
            self.add_group(group)

    def add_group(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Add a group, and return it as ListInstanceGroups does.

        :param asked: an InstanceGroupConfig.
        """
        count = asked.get("InstanceCount", 1)
        group = {
            "Id": f"ig-{random_id()}",
            "Name": asked.get("Name", asked["InstanceRole"].title()),
            "Market": asked.get("Market", "ON_DEMAND"),
            "InstanceGroupType": asked["InstanceRole"],
            "InstanceType": asked["InstanceType"],
            "RequestedInstanceCount": count,
            "RunningInstanceCount": count,
        }
        self.groups.append(group)
        return group


def _groups_of_old(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the groups that a type of the master, a type of the others and a number stand for."""
    if not asked.get("MasterInstanceType"):
        return []
    count = asked.get("InstanceCount", 1)
    groups = [{"InstanceRole": "MASTER", "InstanceType": asked["MasterInstanceType"], "InstanceCount": 1}]
    if count > 1:
        others = asked.get("SlaveInstanceType", asked["MasterInstanceType"])
        groups.append({"InstanceRole": "CORE", "InstanceType": others, "InstanceCount": count - 1})
    return groups


def _instance_id() -> str:
    return f"i-0{mock_random.get_random_hex(16)}"
