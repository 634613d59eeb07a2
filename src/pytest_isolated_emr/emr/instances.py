"""The instances of a cluster: groups or fleets of them, as it asked for. There are none: they are what clients are told.

A cluster's lock guards them, and their states follow the cluster's.
"""

from __future__ import annotations

import ipaddress
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.core.utils import utcnow
from moto.emr.utils import random_id
from moto.moto_api._internal import mock_random

PROVISIONING, BOOTSTRAPPING, RUNNING = "PROVISIONING", "BOOTSTRAPPING", "RUNNING"
TERMINATING, TERMINATED = "TERMINATING", "TERMINATED"
MASTER, CORE, TASK = "MASTER", "CORE", "TASK"

#: Of a fleet that names none.
_SOME_TYPE = "m5.xlarge"
#: RFC 2544 reserves these addresses for benchmarks: whoever follows one reaches nobody.
_ADDRESSES = map(ipaddress.IPv4Address, itertools.count(int(ipaddress.IPv4Address("198.18.0.10"))))


@dataclass(frozen=True)
class Life:
    """How far a cluster has come, for its instances.

    :param state: theirs.
    :param ready: when the cluster was ready.
    :param end: when it ended.
    """

    state: str
    ready: datetime | None
    end: datetime | None

    def timeline(self, created: datetime, ended: datetime | None = None) -> dict[str, datetime]:
        """Return the times of something that was made in a cluster.

        :param created: when it was made.
        :param ended: when it ended, if before the cluster.
        """
        ready = max(self.ready, created) if self.ready is not None else None
        times = {"CreationDateTime": created, "ReadyDateTime": ready, "EndDateTime": ended or self.end}
        return {key: value for key, value in times.items() if value is not None}


@dataclass
class Instance:
    """One instance.

    :param region: where it is.
    :param type: such as ``m5.xlarge``.
    :param market: ``ON_DEMAND`` or ``SPOT``.
    :param devices: names of the volumes that its group asked for.
    """

    region: str
    type: str
    market: str
    devices: Sequence[str] = ()
    id: str = field(default_factory=lambda: f"ci-{random_id()}")
    ec2_id: str = field(default_factory=lambda: f"i-0{mock_random.get_random_hex(16)}")
    address: str = field(default_factory=lambda: str(next(_ADDRESSES)))
    created: datetime = field(default_factory=utcnow)
    ended: datetime | None = None

    def __post_init__(self) -> None:
        self._volumes = [
            {"Device": device, "VolumeId": f"vol-0{mock_random.get_random_hex(16)}"}
            for device in self.devices
        ]

    @property
    def dns_name(self) -> str:
        """Its private name, in EC2's form (EC2 User Guide, "Hostnames and domains")."""
        domain = "ec2.internal" if self.region == "us-east-1" else f"{self.region}.compute.internal"
        return f"ip-{self.address.replace('.', '-')}.{domain}"

    def state(self, life: Life) -> str:
        """Return its state.

        :param life: the cluster's.
        """
        if self.ended is not None:
            return TERMINATED
        if life.state == TERMINATING:
            # Of an instance there is none: it is what it was.
            return RUNNING if life.ready is not None else BOOTSTRAPPING
        return life.state

    def describe(self, life: Life, owner: dict[str, str]) -> dict[str, Any]:
        """Return it as ListInstances does.

        :param life: the cluster's.
        :param owner: the id of its group or fleet, by the name that the answer has for it.
        """
        state = self.state(life)
        reason = {}
        if self.ended is not None:
            reason = {"Message": "Instance was terminated."}
        elif state == TERMINATED:
            reason = {"Code": "CLUSTER_TERMINATED", "Message": "Cluster was terminated."}
        return {
            "Id": self.id,
            "Ec2InstanceId": self.ec2_id,
            # As in a private subnet.
            "PublicDnsName": "",
            "PrivateDnsName": self.dns_name,
            "PrivateIpAddress": self.address,
            "Status": {
                "State": state,
                "StateChangeReason": reason,
                "Timeline": life.timeline(self.created, self.ended),
            },
            **owner,
            "Market": self.market,
            "InstanceType": self.type,
            "EbsVolumes": self._volumes,
        }


class _Owner:
    """What groups and fleets have in common: a role, a name, and instances.

    :param role: ``MASTER``, ``CORE`` or ``TASK``.
    :param name: what a user called it; by default its role.
    """

    #: The answers' name of its id.
    key: str

    def __init__(self, role: str, name: str | None, id_: str) -> None:
        self.id = id_
        self.role = role
        self.name = name or role
        self.created = utcnow()
        self.instances: list[Instance] = []

    @property
    def active(self) -> list[Instance]:
        """Its instances that were not removed."""
        return [instance for instance in self.instances if instance.ended is None]

    def running(self, life: Life, market: str | None = None) -> int:
        """Count its instances that run.

        :param life: the cluster's.
        :param market: count those of this market alone.
        """
        return sum(
            instance.state(life) == RUNNING and market in (None, instance.market) for instance in self.active
        )

    def remove(self, removed: Sequence[Instance]) -> None:
        """End some of its instances before the cluster ends.

        :param removed: they.
        """
        for instance in removed:
            instance.ended = utcnow()

    def status(self, life: Life) -> dict[str, Any]:
        """Return its status as ListInstanceGroups and ListInstanceFleets do.

        :param life: the cluster's.
        """
        reason = {"Message": ""}
        if life.state == TERMINATED:
            reason = {"Code": "CLUSTER_TERMINATED", "Message": "Job flow terminated"}
        return {"State": life.state, "StateChangeReason": reason, "Timeline": life.timeline(self.created)}


class InstanceGroup(_Owner):
    """A group of like instances.

    :param cluster_id: the cluster.
    :param region: where it is.
    :param config: an InstanceGroupConfig, valid.
    """

    key = "InstanceGroupId"

    def __init__(self, cluster_id: str, region: str, config: dict[str, Any]) -> None:
        super().__init__(config["InstanceRole"], config.get("Name"), f"ig-{random_id()}")
        self.config = config
        self.cluster_id = cluster_id
        self.market = config.get("Market") or ("SPOT" if config.get("BidPrice") else "ON_DEMAND")
        self.configurations: list[dict[str, Any]] = config.get("Configurations") or []
        self.configurations_version = 1 if self.configurations else 0
        self.shrink_policy: dict[str, Any] = {}
        self.auto_scaling: dict[str, Any] | None = config.get("AutoScalingPolicy")
        self._region = region
        self._volumes = _volumes(config.get("EbsConfiguration"))
        self.resize(config["InstanceCount"])

    def resize(self, count: int) -> None:
        """Have so many instances, the newest leaving first.

        :param count: how many.
        """
        self.requested = count
        devices = [volume["Device"] for volume in self._volumes]
        while len(self.active) < count:
            instance = Instance(self._region, self.config["InstanceType"], self.market, devices)
            self.instances.append(instance)
        self.remove(self.active[count:])

    def auto_scaling_policy(self) -> dict[str, Any]:
        """Return its scaling policy as it is described, nothing where there is none."""
        if self.auto_scaling is None:
            return {}
        status = {"State": "ATTACHED", "StateChangeReason": {"Code": "USER_REQUEST", "Message": ""}}
        return {"Status": status, **_with_cluster_id(self.auto_scaling, self.cluster_id)}

    def describe(self, life: Life) -> dict[str, Any]:
        """Return it as ListInstanceGroups does.

        :param life: the cluster's.
        """
        optional = {
            "BidPrice": self.config.get("BidPrice"),
            "CustomAmiId": self.config.get("CustomAmiId"),
            "AutoScalingPolicy": self.auto_scaling_policy(),
            "EbsOptimized": (self.config.get("EbsConfiguration") or {}).get("EbsOptimized"),
        }
        return {
            "Id": self.id,
            "Name": self.name,
            "Market": self.market,
            "InstanceGroupType": self.role,
            "InstanceType": self.config["InstanceType"],
            "RequestedInstanceCount": self.requested,
            "RunningInstanceCount": self.running(life),
            "Status": self.status(life),
            "Configurations": self.configurations,
            "ConfigurationsVersion": self.configurations_version,
            "LastSuccessfullyAppliedConfigurations": self.configurations,
            "LastSuccessfullyAppliedConfigurationsVersion": self.configurations_version,
            "EbsBlockDevices": self._volumes,
            "ShrinkPolicy": self.shrink_policy,
            **{key: value for key, value in optional.items() if value},
        }


class InstanceFleet(_Owner):
    """Instances of several types that make up a capacity.

    :param region: where it is.
    :param config: an InstanceFleetConfig, valid.
    """

    key = "InstanceFleetId"

    def __init__(self, region: str, config: dict[str, Any]) -> None:
        super().__init__(config["InstanceFleetType"], config.get("Name"), f"if-{random_id()}")
        self.config = config
        self.types: list[dict[str, Any]] = config.get("InstanceTypeConfigs") or [{"InstanceType": _SOME_TYPE}]
        self.configurations: list[dict[str, Any]] = self.types[0].get("Configurations") or []
        self._region = region
        self.resize(config.get("TargetOnDemandCapacity") or 0, config.get("TargetSpotCapacity") or 0)

    def resize(self, on_demand: int, spot: int) -> None:
        """Have the capacities, all of the first instance type.

        :param on_demand: units of On-Demand instances.
        :param spot: units of Spot instances.
        """
        self.on_demand, self.spot = on_demand, spot
        for market, units in (("ON_DEMAND", on_demand), ("SPOT", spot)):
            count = math.ceil(units / self._weight)
            there = [instance for instance in self.active if instance.market == market]
            for _ in range(count - len(there)):
                self.instances.append(Instance(self._region, self.types[0]["InstanceType"], market))
            self.remove(there[count:])

    @property
    def _weight(self) -> int:
        return int(self.types[0].get("WeightedCapacity") or 1)

    def describe(self, life: Life) -> dict[str, Any]:
        """Return it as ListInstanceFleets does.

        :param life: the cluster's.
        """
        optional = {
            key: self.config.get(key) for key in ("LaunchSpecifications", "ResizeSpecifications", "Context")
        }
        return {
            "Id": self.id,
            "Name": self.name,
            "Status": self.status(life),
            "InstanceFleetType": self.role,
            "TargetOnDemandCapacity": self.on_demand,
            "TargetSpotCapacity": self.spot,
            "ProvisionedOnDemandCapacity": self.running(life, "ON_DEMAND") * self._weight,
            "ProvisionedSpotCapacity": self.running(life, "SPOT") * self._weight,
            "InstanceTypeSpecifications": [_specification(config) for config in self.types],
            **{key: value for key, value in optional.items() if value},
        }


def _specification(config: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key != "EbsConfiguration"}
    ebs = config.get("EbsConfiguration")
    return {"WeightedCapacity": 1, **kept, "EbsBlockDevices": _volumes(ebs)}


def _volumes(ebs: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the EbsBlockDevices of an EbsConfiguration."""
    specifications = [
        device["VolumeSpecification"]
        for device in (ebs or {}).get("EbsBlockDeviceConfigs") or []
        for _ in range(device.get("VolumesPerInstance") or 1)
    ]
    # /dev/sda is the root volume.
    return [
        {"VolumeSpecification": specification, "Device": f"/dev/sd{chr(ord('b') + number)}"}
        for number, specification in enumerate(specifications)
    ]


def _with_cluster_id(value: Any, cluster_id: str) -> Any:
    """Put a cluster's id in the place of its variable (EMR Management Guide, "Using automatic scaling")."""
    if isinstance(value, dict):
        return {key: _with_cluster_id(item, cluster_id) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_cluster_id(item, cluster_id) for item in value]
    return cluster_id if value == "${emr.clusterId}" else value
