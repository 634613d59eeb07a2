"""DescribeJobFlows, by which clusters were described before there was DescribeCluster."""

from __future__ import annotations

from typing import Any

from pytest_isolated_emr.emr import clusters, describe, steps
from pytest_isolated_emr.emr.clusters import Cluster
from pytest_isolated_emr.emr.instances import CORE, MASTER, InstanceGroup, Life
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.operations.clusters import created_between
from pytest_isolated_emr.emr.steps import Step

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_DescribeJobFlows.html
_MOST = 512


def describe_job_flows(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell all of clusters, the newest first."""
    ids, states = request.get("JobFlowIds") or (), request.get("JobFlowStates") or ()
    for job_flow_id in ids:
        backend.find_job_flow(job_flow_id)
    found = [
        cluster
        for cluster in created_between(backend, request)
        if (not ids or cluster.id in ids) and (not states or _state(cluster) in states)
    ]
    return {"JobFlows": [_describe(cluster) for cluster in found[:_MOST]]}


def _state(cluster: Cluster) -> str:
    """Return a cluster's state in the words of job flows."""
    if cluster.state == clusters.TERMINATING:
        return "SHUTTING_DOWN"
    if cluster.state == clusters.TERMINATED_WITH_ERRORS:
        return "FAILED"
    if cluster.state == clusters.TERMINATED and cluster.code == "ALL_STEPS_COMPLETED":
        return "COMPLETED"
    return str(cluster.state)


def _describe(cluster: Cluster) -> dict[str, Any]:
    request = cluster.request
    with cluster.changed:
        life = cluster.life()
        described = {
            "JobFlowId": cluster.id,
            "Name": cluster.name,
            "LogUri": describe.log_uri(cluster),
            "AmiVersion": request.get("AmiVersion"),
            "ExecutionStatusDetail": {
                "State": _state(cluster),
                "StartDateTime": cluster.ready_datetime,
                "LastStateChangeReason": cluster.message,
                **cluster.timeline(),
            },
            "Instances": _instances(cluster, life),
            "Steps": [_step(step) for step in cluster.steps],
            "BootstrapActions": [
                {"BootstrapActionConfig": action} for action in request.get("BootstrapActions") or ()
            ],
            "SupportedProducts": request.get("SupportedProducts") or [],
            "VisibleToAllUsers": cluster.visible_to_all_users,
            "JobFlowRole": request.get("JobFlowRole"),
            "ServiceRole": request.get("ServiceRole"),
            "AutoScalingRole": request.get("AutoScalingRole"),
            "ScaleDownBehavior": request.get("ScaleDownBehavior"),
        }
    return {key: value for key, value in described.items() if value is not None}


def _instances(cluster: Cluster, life: Life) -> dict[str, Any]:
    asked = cluster.request["Instances"]
    types = {
        role: instance.type
        for role in (MASTER, CORE)
        for owner in cluster.owners
        if owner.role == role
        for instance in owner.instances[:1]
    }
    optional = {
        "Ec2KeyName": asked.get("Ec2KeyName"),
        "Ec2SubnetId": asked.get("Ec2SubnetId"),
        "HadoopVersion": asked.get("HadoopVersion"),
    }
    return {
        "MasterInstanceType": types[MASTER],
        "MasterInstanceId": cluster.master_instance_id,
        "MasterPublicDnsName": cluster.master.dns_name,
        # It has to be there, with a master alone too.
        "SlaveInstanceType": types.get(CORE, types[MASTER]),
        "InstanceCount": sum(len(owner.active) for owner in cluster.owners),
        "InstanceGroups": [_group(group, life) for group in cluster.groups],
        "NormalizedInstanceHours": 0,
        "Placement": {"AvailabilityZone": cluster.availability_zone},
        "KeepJobFlowAliveWhenNoSteps": not cluster.auto_terminate,
        "TerminationProtected": cluster.termination_protected,
        "UnhealthyNodeReplacement": cluster.unhealthy_node_replacement,
        **{key: value for key, value in optional.items() if value},
    }


def _group(group: InstanceGroup, life: Life) -> dict[str, Any]:
    described = group.describe(life)
    status = described["Status"]
    return {
        "InstanceGroupId": group.id,
        "Name": group.name,
        "Market": group.market,
        "InstanceRole": group.role,
        "InstanceType": described["InstanceType"],
        "InstanceRequestCount": described["RequestedInstanceCount"],
        "InstanceRunningCount": described["RunningInstanceCount"],
        # Job flows have another word for it.
        "State": "ENDED" if status["State"] == "TERMINATED" else status["State"],
        "LastStateChangeReason": status["StateChangeReason"]["Message"],
        **status["Timeline"],
    }


def _step(step: Step) -> dict[str, Any]:
    jar_step = {
        "Jar": step.jar,
        "Args": list(step.args),
        "MainClass": step.main_class,
        "Properties": [{"Key": key, "Value": value} for key, value in step.java_properties.items()],
    }
    status = {
        # There was no step that waits to be cancelled.
        "State": steps.RUNNING if step.state == steps.CANCEL_PENDING else step.state,
        "CreationDateTime": step.creation_date_time,
        "StartDateTime": step.start_date_time,
        "EndDateTime": step.end_date_time,
        "LastStateChangeReason": step.message,
    }
    return {
        "StepConfig": {
            "Name": step.name,
            "ActionOnFailure": step.action_on_failure,
            "HadoopJarStep": {key: value for key, value in jar_step.items() if value is not None},
        },
        "ExecutionStatusDetail": {key: value for key, value in status.items() if value is not None},
    }
