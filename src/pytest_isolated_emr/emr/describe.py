"""What the API tells of a cluster, in its own words and shapes."""

from __future__ import annotations

from typing import Any

from pytest_isolated_emr.emr import releases
from pytest_isolated_emr.emr.clusters import STARTING, Cluster

#: Members of RunJobFlow that DescribeCluster repeats.
_REPEATED = (
    "LogEncryptionKmsKeyId",
    "ReleaseLabel",
    "ServiceRole",
    "AutoScalingRole",
    "SecurityConfiguration",
    "CustomAmiId",
    "EbsRootVolumeSize",
    "EbsRootVolumeIops",
    "EbsRootVolumeThroughput",
    "RepoUpgradeOnBoot",
    "KerberosAttributes",
    "OSReleaseLabel",
    "SessionEnabled",
    "MonitoringConfiguration",
)
_REPEATED_OF_INSTANCES = (
    "Ec2KeyName",
    "EmrManagedMasterSecurityGroup",
    "EmrManagedSlaveSecurityGroup",
    "ServiceAccessSecurityGroup",
    "AdditionalMasterSecurityGroups",
    "AdditionalSlaveSecurityGroups",
)


def cluster(described: Cluster) -> dict[str, Any]:
    """Return a cluster as DescribeCluster does.

    :param described: the cluster.
    """
    request = described.request
    asked = request.get("Instances") or {}
    applications = request.get("Applications") or []
    subnet = asked.get("Ec2SubnetId")
    subnets = asked.get("Ec2SubnetIds") or ([subnet] if subnet else [])
    return {
        "Id": described.id,
        "Name": described.name,
        "Status": status(described),
        "Ec2InstanceAttributes": {
            **{key: asked[key] for key in _REPEATED_OF_INSTANCES if key in asked},
            "Ec2AvailabilityZone": described.availability_zone,
            **({"Ec2SubnetId": subnets[0]} if subnets else {}),
            "RequestedEc2SubnetIds": subnets,
            "RequestedEc2AvailabilityZones": (asked.get("Placement") or {}).get("AvailabilityZones") or [],
            "IamInstanceProfile": request.get("JobFlowRole"),
        },
        "InstanceCollectionType": "INSTANCE_FLEET" if described.fleets else "INSTANCE_GROUP",
        **{key: request[key] for key in _REPEATED if key in request},
        **({"LogUri": log_uri(described)} if described.log_uri else {}),
        "AutoTerminate": described.auto_terminate,
        "TerminationProtected": described.termination_protected,
        "UnhealthyNodeReplacement": described.unhealthy_node_replacement,
        "VisibleToAllUsers": described.visible_to_all_users,
        "Applications": [_application(described, application) for application in applications],
        "Tags": described.tags,
        "NormalizedInstanceHours": 0,
        # It has none before it has an instance, and the private name in a private subnet (EMR API reference, Cluster).
        **({} if described.state == STARTING else {"MasterPublicDnsName": described.master.dns_name}),
        "Configurations": request.get("Configurations") or [],
        "ScaleDownBehavior": request.get("ScaleDownBehavior", "TERMINATE_AT_TASK_COMPLETION"),
        "ClusterArn": described.arn,
        "StepConcurrencyLevel": described.step_concurrency_level,
        "PlacementGroups": request.get("PlacementGroupConfigs") or [],
    }


def log_uri(described: Cluster) -> str | None:
    """Return where a cluster's logs go, in the words of EMR, whose file system has the old name of the scheme.

    Clients know that: Terraform's provider takes ``s3n`` for ``s3`` when it compares, Dagster when it reads logs.

    :param described: the cluster.
    """
    asked: str | None = described.log_uri
    return f"s3n://{asked.removeprefix('s3://')}" if asked and asked.startswith("s3://") else asked


def cluster_summary(described: Cluster) -> dict[str, Any]:
    """Return a cluster as ListClusters does.

    :param described: the cluster.
    """
    return {
        "Id": described.id,
        "Name": described.name,
        "Status": status(described),
        "NormalizedInstanceHours": 0,
        "ClusterArn": described.arn,
    }


def status(described: Cluster) -> dict[str, Any]:
    """Return the state of a cluster, why it has it, and since when.

    :param described: the cluster.
    """
    reason = {"Message": described.message}
    if described.code:
        reason["Code"] = described.code
    ending = described.ending
    errors = []
    if ending is not None and ending.error:
        data = [{"primary-instance-id": described.master_instance_id}]
        errors = [{"ErrorCode": ending.error, "ErrorData": data, "ErrorMessage": ending.message}]
    return {
        "State": described.state,
        "StateChangeReason": reason,
        "Timeline": described.timeline(),
        **({"ErrorDetails": errors} if errors else {}),
    }


def _application(described: Cluster, asked: dict[str, Any]) -> dict[str, Any]:
    name = str(asked.get("Name"))
    release = releases.known().get(described.release_label or "")
    for known, version in release.applications.items() if release else ():
        if known.casefold() == name.casefold():
            return {"Name": known, "Version": version}
    return {"Name": name}
