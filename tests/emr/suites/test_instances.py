"""Groups and fleets of instances, through boto3 alone."""

import time

import boto3
import pytest
from botocore.exceptions import ClientError

emr = boto3.client("emr")
ROLES = {"JobFlowRole": "EMR_EC2_DefaultRole", "ServiceRole": "EMR_DefaultRole"}
POLICY = {
    "Constraints": {"MinCapacity": 1, "MaxCapacity": 4},
    "Rules": [
        {
            "Name": "out",
            "Action": {"SimpleScalingPolicyConfiguration": {"ScalingAdjustment": 1}},
            "Trigger": {
                "CloudWatchAlarmDefinition": {
                    "ComparisonOperator": "LESS_THAN",
                    "MetricName": "YARNMemoryAvailablePercentage",
                    "Period": 300,
                    "Threshold": 15.0,
                    "Dimensions": [{"Key": "JobFlowId", "Value": "${emr.clusterId}"}],
                }
            },
        }
    ],
}


def start(keep=True, bootstrap=(), steps=(), **instances):
    return emr.run_job_flow(
        Name="n",
        ReleaseLabel="emr-7.10.0",
        Instances={"KeepJobFlowAliveWhenNoSteps": keep, **instances},
        BootstrapActions=list(bootstrap),
        Steps=list(steps),
        **ROLES,
    )["JobFlowId"]


def describe(cluster):
    return emr.describe_cluster(ClusterId=cluster)["Cluster"]


def until(cluster, *wanted):
    deadline = time.monotonic() + 60
    while (state := describe(cluster)["Status"]["State"]) not in wanted:
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def group(role, count=1, **more):
    return {"InstanceRole": role, "InstanceType": "m5.xlarge", "InstanceCount": count, **more}


def fleet(role, on_demand=0, spot=0, types=("m5.xlarge",), **more):
    return {
        "InstanceFleetType": role,
        "TargetOnDemandCapacity": on_demand,
        "TargetSpotCapacity": spot,
        "InstanceTypeConfigs": [{"InstanceType": type_, **more} for type_ in types],
    }


def instances(cluster, **wanted):
    pages = emr.get_paginator("list_instances").paginate(ClusterId=cluster, **wanted)
    return [instance for page in pages for instance in page["Instances"]]


def groups(cluster):
    return {g["InstanceGroupType"]: g for g in emr.list_instance_groups(ClusterId=cluster)["InstanceGroups"]}


def fleets(cluster):
    return {f["InstanceFleetType"]: f for f in emr.list_instance_fleets(ClusterId=cluster)["InstanceFleets"]}


def refused(operation, **request):
    with pytest.raises(ClientError) as caught:
        getattr(emr, operation)(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def of_groups():
    made = start(
        InstanceGroups=[group("MASTER"), group("CORE", 2, AutoScalingPolicy=POLICY), group("TASK", 0)]
    )
    until(made, "WAITING")
    yield made
    emr.terminate_job_flows(JobFlowIds=[made])


@pytest.fixture(scope="module")
def of_fleets():
    made = start(
        InstanceFleets=[
            fleet("MASTER", 1),
            fleet("CORE", 4, 3, ("r5.xlarge", "m5.xlarge"), WeightedCapacity=2),
        ]
    )
    until(made, "WAITING")
    yield made
    emr.terminate_job_flows(JobFlowIds=[made])


def test_the_short_form_makes_a_master_and_a_core_group():
    made = start(MasterInstanceType="m5.xlarge", SlaveInstanceType="r5.2xlarge", InstanceCount=3)
    until(made, "WAITING")
    found = groups(made)
    assert {
        role: (g["InstanceType"], g["RequestedInstanceCount"], g["RunningInstanceCount"], g["Market"])
        for role, g in found.items()
    } == {"MASTER": ("m5.xlarge", 1, 1, "ON_DEMAND"), "CORE": ("r5.2xlarge", 2, 2, "ON_DEMAND")}
    assert found["CORE"]["Status"]["State"] == "RUNNING"
    assert set(found["CORE"]["Status"]["Timeline"]) == {"CreationDateTime", "ReadyDateTime"}
    assert describe(made)["InstanceCollectionType"] == "INSTANCE_GROUP"
    emr.terminate_job_flows(JobFlowIds=[made])
    until(made, "TERMINATED")
    ended = groups(made)["CORE"]
    assert ended["Status"]["StateChangeReason"] == {
        "Code": "CLUSTER_TERMINATED",
        "Message": "Job flow terminated",
    }
    assert (ended["Status"]["State"], ended["RunningInstanceCount"]) == ("TERMINATED", 0)
    assert {i["Status"]["State"] for i in instances(made)} == {"TERMINATED"}
    assert all("EndDateTime" in i["Status"]["Timeline"] for i in instances(made))


def test_instances_and_their_filters(of_groups):
    found = instances(of_groups)
    assert len({i["Ec2InstanceId"] for i in found}) == len(found) == 3
    assert found == instances(of_groups)
    for i in found:
        assert i["Id"].startswith("ci-")
        assert i["Ec2InstanceId"].startswith("i-0")
        assert i["PrivateDnsName"] == f"ip-{i['PrivateIpAddress'].replace('.', '-')}.ec2.internal"
        assert (i["InstanceType"], i["Market"], i["Status"]["State"]) == ("m5.xlarge", "ON_DEMAND", "RUNNING")
    core = groups(of_groups)["CORE"]["Id"]
    assert [i["InstanceGroupId"] for i in instances(of_groups, InstanceGroupId=core)] == [core] * 2
    assert instances(of_groups, InstanceGroupTypes=["CORE"]) == instances(of_groups, InstanceGroupId=core)
    assert len(instances(of_groups, InstanceGroupTypes=["MASTER", "CORE"])) == 3
    assert instances(of_groups, InstanceStates=["TERMINATED", "PROVISIONING"]) == []
    assert len(instances(of_groups, InstanceStates=["RUNNING"])) == 3


def test_the_master_has_one_name_everywhere(of_groups, scratch, s3):
    (master,) = instances(of_groups, InstanceGroupTypes=["MASTER"])
    assert describe(of_groups)["MasterPublicDnsName"] == master["PrivateDnsName"]
    missing = {"Name": "b", "ScriptBootstrapAction": {"Path": f"{scratch}/missing.sh"}}
    failing = start(MasterInstanceType="m5.xlarge", InstanceCount=1, bootstrap=[missing])
    until(failing, "TERMINATED_WITH_ERRORS")
    (master,) = instances(failing)
    status = describe(failing)["Status"]
    assert f"({master['Ec2InstanceId']})" in status["StateChangeReason"]["Message"]
    assert status["ErrorDetails"] == [
        {
            "ErrorCode": "BOOTSTRAP_FAILURE_BA_DOWNLOAD_FAILED_PRIMARY",
            "ErrorData": [{"primary-instance-id": master["Ec2InstanceId"]}],
            "ErrorMessage": status["StateChangeReason"]["Message"],
        }
    ]


def test_instances_bootstrap_with_their_cluster(s3, scratch):
    go = scratch.path / "go"
    body = f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.05; done\n".encode()
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/wait.sh", Body=body)
    wait = {"Name": "b", "ScriptBootstrapAction": {"Path": f"{scratch}/wait.sh"}}
    made = start(MasterInstanceType="m5.xlarge", InstanceCount=1, bootstrap=[wait])
    until(made, "BOOTSTRAPPING")
    assert instances(made)[0]["Status"]["State"] == "BOOTSTRAPPING"
    assert groups(made)["MASTER"]["Status"]["State"] == "BOOTSTRAPPING"
    assert groups(made)["MASTER"]["RunningInstanceCount"] == 0
    go.touch()
    until(made, "WAITING")
    assert instances(made)[0]["Status"]["State"] == "RUNNING"
    emr.terminate_job_flows(JobFlowIds=[made])


def test_pages_of_instances():
    made = start(MasterInstanceType="m5.xlarge", InstanceCount=120)
    first = emr.list_instances(ClusterId=made)
    assert len(first["Instances"]) < 120
    assert first["Marker"]
    assert len({i["Id"] for i in instances(made)}) == 120
    emr.terminate_job_flows(JobFlowIds=[made])


def test_adding_and_resizing_groups():
    made = start(InstanceGroups=[group("MASTER"), group("CORE")])
    until(made, "WAITING")
    (task,) = emr.add_instance_groups(
        JobFlowId=made, InstanceGroups=[group("TASK", 3, Name="spot", BidPrice="0.10")]
    )["InstanceGroupIds"]
    found = groups(made)["TASK"]
    assert (found["Id"], found["Name"], found["Market"], found["BidPrice"]) == (task, "spot", "SPOT", "0.10")
    before = instances(made, InstanceGroupId=task)
    emr.modify_instance_groups(ClusterId=made, InstanceGroups=[{"InstanceGroupId": task, "InstanceCount": 1}])
    assert [i["Id"] for i in instances(made, InstanceGroupId=task, InstanceStates=["RUNNING"])] == [
        before[0]["Id"]
    ]
    gone = instances(made, InstanceGroupId=task, InstanceStates=["TERMINATED"])
    assert [i["Status"]["StateChangeReason"] for i in gone] == [{"Message": "Instance was terminated."}] * 2
    emr.modify_instance_groups(InstanceGroups=[{"InstanceGroupId": task, "InstanceCount": 4}])
    assert groups(made)["TASK"]["RunningInstanceCount"] == 4
    leaving = instances(made, InstanceGroupId=task, InstanceStates=["RUNNING"])[1]
    emr.modify_instance_groups(
        ClusterId=made,
        InstanceGroups=[{"InstanceGroupId": task, "EC2InstanceIdsToTerminate": [leaving["Ec2InstanceId"]]}],
    )
    assert groups(made)["TASK"]["RequestedInstanceCount"] == 3
    assert leaving["Id"] in [i["Id"] for i in instances(made, InstanceStates=["TERMINATED"])]
    settings = [{"Classification": "spark-defaults", "Properties": {"spark.x": "1"}}]
    emr.modify_instance_groups(
        ClusterId=made, InstanceGroups=[{"InstanceGroupId": task, "Configurations": settings}]
    )
    assert groups(made)["TASK"]["Configurations"] == settings
    assert groups(made)["TASK"]["ConfigurationsVersion"] == 1
    emr.terminate_job_flows(JobFlowIds=[made])
    until(made, "TERMINATED")
    only = [{"InstanceGroupId": task, "InstanceCount": 1}]
    assert refused("modify_instance_groups", ClusterId=made, InstanceGroups=only) == (
        "ValidationException",
        "An instance group may only be modified when the cluster is running or waiting.",
    )
    assert "finished" in refused("add_instance_groups", JobFlowId=made, InstanceGroups=[group("TASK")])[1]


def test_what_a_group_cannot_be_changed_to(of_groups):
    found = groups(of_groups)
    for role in ("MASTER", "CORE"):
        code, message = refused("add_instance_groups", JobFlowId=of_groups, InstanceGroups=[group(role)])
        assert (code, message.startswith("Multiple ")) == ("ValidationException", True)
    for role, count in (("MASTER", 2), ("CORE", 0)):
        code, _ = refused(
            "modify_instance_groups",
            ClusterId=of_groups,
            InstanceGroups=[{"InstanceGroupId": found[role]["Id"], "InstanceCount": count}],
        )
        assert code == "ValidationException"
    assert refused(
        "modify_instance_groups",
        ClusterId=of_groups,
        InstanceGroups=[{"InstanceGroupId": "ig-NO", "InstanceCount": 1}],
    ) == ("InvalidRequestException", "Instance group id 'ig-NO' is not valid.")
    assert groups(of_groups) == found


def test_volumes():
    ebs = {
        "EbsBlockDeviceConfigs": [
            {"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": 32}, "VolumesPerInstance": 2}
        ]
    }
    made = start(InstanceGroups=[group("MASTER", EbsConfiguration=ebs)])
    assert [v["Device"] for v in groups(made)["MASTER"]["EbsBlockDevices"]] == ["/dev/sdb", "/dev/sdc"]
    volumes = instances(made)[0]["EbsVolumes"]
    assert [v["Device"] for v in volumes] == ["/dev/sdb", "/dev/sdc"]
    assert volumes == instances(made)[0]["EbsVolumes"]
    emr.terminate_job_flows(JobFlowIds=[made])


def test_auto_scaling_policies(of_groups):
    core = groups(of_groups)["CORE"]
    policy = core["AutoScalingPolicy"]
    assert policy["Status"]["State"] == "ATTACHED"
    trigger = policy["Rules"][0]["Trigger"]["CloudWatchAlarmDefinition"]
    assert trigger["Dimensions"] == [{"Key": "JobFlowId", "Value": of_groups}]
    emr.remove_auto_scaling_policy(ClusterId=of_groups, InstanceGroupId=core["Id"])
    assert "AutoScalingPolicy" not in groups(of_groups)["CORE"]
    answer = emr.put_auto_scaling_policy(
        ClusterId=of_groups, InstanceGroupId=core["Id"], AutoScalingPolicy=POLICY
    )
    assert answer["AutoScalingPolicy"] == groups(of_groups)["CORE"]["AutoScalingPolicy"] == policy
    assert answer["ClusterId"] == of_groups
    assert refused(
        "put_auto_scaling_policy", ClusterId=of_groups, InstanceGroupId="ig-NO", AutoScalingPolicy=POLICY
    ) == ("ValidationException", "Instance group id 'ig-NO' is not valid.")
    assert refused("list_instances", ClusterId=of_groups, InstanceGroupId="ig-NO") == (
        "InvalidRequestException",
        "Instance group id 'ig-NO' is not valid.",
    )
    master = groups(of_groups)["MASTER"]["Id"]
    code, _ = refused(
        "put_auto_scaling_policy", ClusterId=of_groups, InstanceGroupId=master, AutoScalingPolicy=POLICY
    )
    assert code == "ValidationException"


def test_fleets(of_fleets):
    assert describe(of_fleets)["InstanceCollectionType"] == "INSTANCE_FLEET"
    core = fleets(of_fleets)["CORE"]
    assert (core["TargetOnDemandCapacity"], core["TargetSpotCapacity"]) == (4, 3)
    # Units of two.
    assert (core["ProvisionedOnDemandCapacity"], core["ProvisionedSpotCapacity"]) == (4, 4)
    assert [s["InstanceType"] for s in core["InstanceTypeSpecifications"]] == ["r5.xlarge", "m5.xlarge"]
    found = instances(of_fleets, InstanceFleetType="CORE")
    assert sorted(i["Market"] for i in found) == ["ON_DEMAND", "ON_DEMAND", "SPOT", "SPOT"]
    assert found == instances(of_fleets, InstanceFleetId=core["Id"])
    assert core["Id"].startswith("if-")


def test_changing_fleets():
    made = start(InstanceFleets=[fleet("MASTER", 1), fleet("CORE", 1)])
    until(made, "WAITING")
    added = emr.add_instance_fleet(ClusterId=made, InstanceFleet=fleet("TASK", spot=2))["InstanceFleetId"]
    assert fleets(made)["TASK"]["Id"] == added
    emr.modify_instance_fleet(
        ClusterId=made, InstanceFleet={"InstanceFleetId": added, "TargetSpotCapacity": 5}
    )
    assert fleets(made)["TASK"]["ProvisionedSpotCapacity"] == 5
    code, message = refused("add_instance_fleet", ClusterId=made, InstanceFleet=fleet("TASK", 1))
    assert (code, message.startswith("Multiple task")) == ("ValidationException", True)
    emr.terminate_job_flows(JobFlowIds=[made])


def test_groups_and_fleets_exclude_each_other(of_groups, of_fleets):
    assert refused("list_instance_groups", ClusterId=of_fleets) == (
        "InvalidRequestException",
        "Instance fleets and instance groups are mutually exclusive. The EMR cluster specified in the request uses "
        "instance fleets. The ListInstanceGroups operation does not support clusters that use instance fleets. Use the "
        "ListInstanceFleets operation instead.",
    )
    assert "uses instance groups" in refused("list_instance_fleets", ClusterId=of_groups)[1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "Please configure instances using one and only one of the following"),
        (
            {"InstanceGroups": [group("MASTER")], "MasterInstanceType": "m5.xlarge"},
            "Please configure instances using one and only one of the following",
        ),
        (
            {"InstanceGroups": [group("MASTER")], "InstanceFleets": [fleet("MASTER", 1)]},
            "Please configure instances using one and only one of the following",
        ),
        ({"MasterInstanceType": "m5.xlarge", "InstanceCount": 0}, "Instance count must be greater than 0."),
        ({"InstanceCount": 1}, "Zero master instance groups supplied"),
        ({"InstanceGroups": [group("CORE")]}, "Zero master instance groups supplied"),
        (
            {"InstanceGroups": [group("MASTER"), group("MASTER")]},
            "Multiple master instance groups supplied, you must specify exactly one master instance group",
        ),
        (
            {"InstanceGroups": [group("MASTER"), group("TASK")]},
            "Clusters with task nodes must also define core nodes.",
        ),
        (
            {"InstanceGroups": [group("MASTER"), group("CORE", 0)]},
            "An instance group must have at least one instance.",
        ),
        ({"InstanceGroups": [group("MASTER", 2)]}, "exactly 3 instances"),
        (
            {"InstanceGroups": [group("MASTER", Market="ON_DEMAND", BidPrice="1")]},
            "Attempted to set bid price for on demand instance group.",
        ),
        (
            {"MasterInstanceType": "m5.xlarge", "Ec2SubnetIds": ["subnet-a", "subnet-b"]},
            "Only one subnet may be specified",
        ),
        ({"InstanceFleets": [fleet("CORE", 1)]}, "No master instance fleets were supplied"),
        (
            {"InstanceFleets": [fleet("MASTER", 1, 1)]},
            "A master instance fleet can only have a target capacity of 1.",
        ),
        ({"InstanceFleets": [fleet("MASTER", 1), fleet("CORE")]}, "a value of one or greater"),
        (
            {"InstanceFleets": [fleet("MASTER", 1), fleet("TASK", 1)]},
            "Clusters with task instance fleets must also define core instance fleets.",
        ),
        (
            {"InstanceFleets": [fleet("MASTER", 1, types=("m5.xlarge", "m5.xlarge"))]},
            "contains duplicate instance types [m5.xlarge]",
        ),
        ({"InstanceGroups": [group("BOSS")]}, "enum value set"),
    ],
)
def test_instances_that_make_no_cluster(wanted, message):
    number = len(emr.list_clusters()["Clusters"])
    code, said = refused("run_job_flow", Name="n", ReleaseLabel="emr-7.10.0", Instances=wanted, **ROLES)
    assert code == "ValidationException"
    assert message in said
    assert len(emr.list_clusters()["Clusters"]) == number


def test_three_masters_protect_their_cluster():
    made = start(keep=False, InstanceGroups=[group("MASTER", 3), group("CORE")])
    until(made, "WAITING")
    described = describe(made)
    assert (described["AutoTerminate"], described["TerminationProtected"]) == (False, True)
    emr.set_termination_protection(JobFlowIds=[made], TerminationProtected=False)
    emr.terminate_job_flows(JobFlowIds=[made])


@pytest.mark.parametrize("kind", ["groups", "fleets"])
def test_configurations_of_the_master_win(make_cluster, run_step, kind):
    def settings(**properties):
        values = {f"spark.{key}": value for key, value in properties.items()}
        return [{"Classification": "spark-defaults", "Properties": values}]

    mine = settings(b="master", c="master")
    if kind == "groups":
        wanted = {"InstanceGroups": [group("MASTER", Configurations=mine)]}
    else:
        wanted = {"InstanceFleets": [fleet("MASTER", 1, Configurations=mine)]}
    made = make_cluster(Instances=wanted, Configurations=settings(a="cluster", b="cluster"))
    lines = run_step("bash", "-c", "grep '^spark.[abc]=' $SPARK_CONF_DIR/spark-defaults.conf", cluster=made)
    assert dict(line.split("=") for line in lines.stdout.splitlines()) == {
        "spark.a": "cluster",
        "spark.b": "master",
        "spark.c": "master",
    }


def test_make_cluster_takes_groups(make_cluster):
    made = make_cluster(Instances={"InstanceGroups": [group("MASTER"), group("CORE", 2)]})
    assert len(instances(made)) == 3


def test_a_region_has_clusters_of_its_own():
    elsewhere = boto3.client("emr", region_name="eu-west-1")
    made = elsewhere.run_job_flow(
        Name="n",
        ReleaseLabel="emr-7.10.0",
        Instances={"MasterInstanceType": "m5.xlarge", "KeepJobFlowAliveWhenNoSteps": True},
        **ROLES,
    )
    (instance,) = elsewhere.list_instances(ClusterId=made["JobFlowId"])["Instances"]
    assert instance["PrivateDnsName"].endswith(".eu-west-1.compute.internal")
    assert made["ClusterArn"].startswith("arn:aws:elasticmapreduce:eu-west-1:")
    assert made["JobFlowId"] not in [one["Id"] for one in emr.list_clusters()["Clusters"]]
    elsewhere.terminate_job_flows(JobFlowIds=[made["JobFlowId"]])
