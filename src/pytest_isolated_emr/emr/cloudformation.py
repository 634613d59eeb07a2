"""Clusters and instance groups of CloudFormation's stacks. moto knows the resources; here they become requests of EMR's API.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-emr-cluster.html
"""

from __future__ import annotations

from typing import Any

from moto.emr.models import Cluster as MotoCluster
from moto.emr.models import InstanceGroup as MotoInstanceGroup
from moto.emr.models import emr_backends

from pytest_isolated_emr.emr.clusters import Cluster
from pytest_isolated_emr.emr.instances import CORE, MASTER, TASK
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.operations.clusters import run_job_flow
from pytest_isolated_emr.emr.operations.instances import add_groups
from pytest_isolated_emr.emr.operations.settings import modifiable
from pytest_isolated_emr.emr.validation import as_shape

#: A template's names, and those of RunJobFlow for the same.
_NAMES = {"ConfigurationProperties": "Properties", "StepProperties": "Properties"}
_ROLES = (
    ("MasterInstance{}", MASTER),
    ("CoreInstance{}", CORE),
    ("TaskInstance{}s", TASK),
)


def install() -> None:
    """Have moto's CloudFormation make our clusters. It finds the classes of moto's resources, not those below them."""
    MotoCluster.create_from_cloudformation_json = staticmethod(_create_cluster)
    MotoCluster.has_cfn_attr = staticmethod(lambda attribute: attribute in ("Id", "MasterPublicDNS"))
    MotoInstanceGroup.create_from_cloudformation_json = staticmethod(_create_group)


def _create_cluster(
    resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_kwargs: Any
) -> Cluster:
    request = request_of(cloudformation_json["Properties"])
    backend: EmrBackend = emr_backends[account_id][region_name]
    return backend.find_cluster(run_job_flow(backend, request)["JobFlowId"])


def _create_group(
    resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_kwargs: Any
) -> MotoInstanceGroup:
    config = _renamed(cloudformation_json["Properties"])
    backend: EmrBackend = emr_backends[account_id][region_name]
    job_flow_id = config.pop("JobFlowId")
    request = as_shape("AddInstanceGroups", {"JobFlowId": job_flow_id, "InstanceGroups": [config]})
    cluster = modifiable(backend.find_job_flow(job_flow_id))
    group = add_groups(backend, cluster, request["InstanceGroups"])[0]
    # What a stack remembers of it has to be moto's.
    return MotoInstanceGroup(
        cluster.id, group.requested, group.role, config["InstanceType"], instance_group_id=group.id
    )


def request_of(properties: dict[str, Any]) -> dict[str, Any]:
    """Return RunJobFlow's request for a resource ``AWS::EMR::Cluster``.

    :param properties: the resource's.
    """
    request = _renamed(properties)
    # Other than RunJobFlow's, a template's cluster stays by default.
    instances = {"KeepJobFlowAliveWhenNoSteps": True, **(request.get("Instances") or {})}
    for members, role_name, kind in (
        ("InstanceGroups", "InstanceRole", "InstanceGroup"),
        ("InstanceFleets", "InstanceFleetType", "InstanceFleet"),
    ):
        found: list[dict[str, Any]] = []
        for pattern, role in _ROLES:
            given = instances.pop(pattern.format(kind.removeprefix("Instance")), None) or []
            configs: list[dict[str, Any]] = given if isinstance(given, list) else [given]
            found += [{**config, role_name: role} for config in configs]
        if found:
            instances[members] = found
    return as_shape("RunJobFlow", {**request, "Instances": instances})


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {_NAMES.get(key, key): _renamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    return value
