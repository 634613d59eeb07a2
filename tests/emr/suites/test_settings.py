"""Settings of clusters, security configurations, old operations, and CloudFormation; no step needs Spark."""

import json
import time
from datetime import datetime, timedelta, timezone

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError

emr = boto3.client("emr")
ROLES = {"JobFlowRole": "EMR_EC2_DefaultRole", "ServiceRole": "EMR_DefaultRole"}
MODEL = botocore.session.get_session().get_service_model("emr")


def bash(script, action="CONTINUE"):
    jar_step = {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]}
    return {"Name": "bash", "ActionOnFailure": action, "HadoopJarStep": jar_step}


def start(keep=True, **request):
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": keep}
    return emr.run_job_flow(
        **{"Name": "n", "ReleaseLabel": "emr-7.10.0", "Instances": instances, **ROLES, **request}
    )["JobFlowId"]


def describe(cluster):
    return emr.describe_cluster(ClusterId=cluster)["Cluster"]


def until(cluster, *wanted):
    deadline = time.monotonic() + 60
    while (state := describe(cluster)["Status"]["State"]) not in wanted:
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return describe(cluster)["Status"]


def refused(operation, **request):
    with pytest.raises(ClientError) as caught:
        getattr(emr, operation)(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def cluster():
    made = start()
    until(made, "WAITING")
    yield made
    emr.terminate_job_flows(JobFlowIds=[made])


# Every operation


def smallest(shape):
    """The smallest request of the right shape."""
    if shape.type_name == "structure":
        return {name: smallest(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [smallest(shape.member)]
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "x" * shape.metadata.get("min", 1)
    return {"boolean": True, "map": {}, "timestamp": 0, "double": 1.0}.get(shape.type_name, 1)


@pytest.mark.parametrize("operation", MODEL.operation_names)
def test_every_operation_is_answered_as_amazon_answers(operation):
    # In a region of its own: some of the operations work.
    elsewhere = boto3.client("emr", region_name="eu-west-1")
    request = smallest(MODEL.operation_model(operation).input_shape)
    try:
        answer, code = elsewhere._make_api_call(operation, request), None
    except ClientError as error:
        answer, code = error.response, error.response["Error"]["Code"]
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    assert (code, status) in [
        (None, 200),
        ("ValidationException", 400),
        ("InvalidRequestException", 400),
        ("NotImplemented", 501),
    ], answer
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0
    kind = answer["ResponseMetadata"]["HTTPHeaders"]["content-type"]
    assert kind.startswith("application/x-amz-json-1.")


# Tags


def test_tags(cluster):
    made = start(Tags=[{"Key": "team", "Value": "data"}, {"Key": "empty"}])
    assert describe(made)["Tags"] == [{"Key": "team", "Value": "data"}, {"Key": "empty", "Value": ""}]
    emr.add_tags(ResourceId=made, Tags=[{"Key": "team", "Value": "other"}, {"Key": "cost", "Value": "1"}])
    emr.remove_tags(ResourceId=made, TagKeys=["empty", "not-there"])
    assert describe(made)["Tags"] == [{"Key": "team", "Value": "other"}, {"Key": "cost", "Value": "1"}]
    emr.terminate_job_flows(JobFlowIds=[made])
    until(made, "TERMINATED")
    assert refused("add_tags", ResourceId=made, Tags=[{"Key": "late"}]) == (
        "InvalidRequestException",
        "Tags cannot be modified on terminated clusters.",
    )
    assert refused("add_tags", ResourceId=cluster, Tags=[{"Value": "v"}]) == (
        "InvalidRequestException",
        "Invalid tag key: 'null'. Tag keys must be between 1 and 128 characters in length.",
    )
    assert refused("add_tags", ResourceId="j-NO", Tags=[{"Key": "k"}])[1] == "Cluster id 'j-NO' is not valid."


# Policies


def test_managed_scaling(cluster):
    assert "ManagedScalingPolicy" not in emr.get_managed_scaling_policy(ClusterId=cluster)
    limits = {"UnitType": "Instances", "MinimumCapacityUnits": 1, "MaximumCapacityUnits": 4}
    emr.put_managed_scaling_policy(ClusterId=cluster, ManagedScalingPolicy={"ComputeLimits": limits})
    assert emr.get_managed_scaling_policy(ClusterId=cluster)["ManagedScalingPolicy"] == {
        "ComputeLimits": limits
    }
    emr.remove_managed_scaling_policy(ClusterId=cluster)
    assert "ManagedScalingPolicy" not in emr.get_managed_scaling_policy(ClusterId=cluster)


def test_auto_termination_policy(cluster):
    assert "AutoTerminationPolicy" not in emr.get_auto_termination_policy(ClusterId=cluster)
    emr.put_auto_termination_policy(ClusterId=cluster, AutoTerminationPolicy={"IdleTimeout": 3600})
    assert emr.get_auto_termination_policy(ClusterId=cluster)["AutoTerminationPolicy"] == {
        "IdleTimeout": 3600
    }
    emr.remove_auto_termination_policy(ClusterId=cluster)
    assert "AutoTerminationPolicy" not in emr.get_auto_termination_policy(ClusterId=cluster)
    assert describe(cluster)["Status"]["State"] == "WAITING"
    for seconds in (59, 604801):
        code, _ = refused(
            "put_auto_termination_policy",
            ClusterId=cluster,
            AutoTerminationPolicy={"IdleTimeout": seconds},
        )
        assert code == "ValidationException"


def test_an_idle_cluster_terminates_and_a_busy_one_does_not():
    idle = start(AutoTerminationPolicy={"IdleTimeout": 60})
    busy = start(AutoTerminationPolicy={"IdleTimeout": 60}, Steps=[bash("exec sleep 1000")])
    was_busy = start(AutoTerminationPolicy={"IdleTimeout": 60}, Steps=[bash("exec sleep 62")])
    emr.get_waiter("cluster_terminated").wait(ClusterId=idle, WaiterConfig={"MaxAttempts": 150})
    ended = describe(idle)["Status"]
    assert ended["State"] == "TERMINATED"
    assert ended["StateChangeReason"]["Code"] == "USER_REQUEST"
    lived = ended["Timeline"]["EndDateTime"] - ended["Timeline"]["ReadyDateTime"]
    assert lived >= timedelta(seconds=60)
    assert describe(busy)["Status"]["State"] == "RUNNING"
    # Its idle time begins with the end of its step, not with the start.
    step = emr.list_steps(ClusterId=was_busy)["Steps"][0]["Id"]
    emr.get_waiter("step_complete").wait(ClusterId=was_busy, StepId=step)
    emr.add_job_flow_steps(JobFlowId=was_busy, Steps=[bash("true")])
    emr.get_waiter("cluster_running").wait(ClusterId=was_busy)
    emr.terminate_job_flows(JobFlowIds=[busy, was_busy])


def test_settings_that_are_told_again():
    made = start(
        LogUri="s3://logs/emr/",
        ScaleDownBehavior="TERMINATE_AT_TASK_COMPLETION",
        EbsRootVolumeSize=20,
        Configurations=[{"Classification": "spark-defaults", "Properties": {"spark.x": "1"}}],
        VisibleToAllUsers=False,
        StepConcurrencyLevel=3,
        CustomAmiId="ami-1",
    )
    described = describe(made)
    assert described["LogUri"] == "s3n://logs/emr/"
    assert described["EbsRootVolumeSize"] == 20
    assert described["Configurations"] == [
        {"Classification": "spark-defaults", "Properties": {"spark.x": "1"}}
    ]
    assert described["VisibleToAllUsers"] is False
    assert described["StepConcurrencyLevel"] == 3
    assert described["CustomAmiId"] == "ami-1"
    assert described["Ec2InstanceAttributes"]["IamInstanceProfile"] == "EMR_EC2_DefaultRole"
    assert described["ServiceRole"] == "EMR_DefaultRole"
    assert described["ClusterArn"].endswith(f":cluster/{made}")
    emr.set_visible_to_all_users(JobFlowIds=[made], VisibleToAllUsers=True)
    emr.set_unhealthy_node_replacement(JobFlowIds=[made], UnhealthyNodeReplacement=True)
    assert emr.modify_cluster(ClusterId=made, StepConcurrencyLevel=5)["StepConcurrencyLevel"] == 5
    described = describe(made)
    assert (described["VisibleToAllUsers"], described["UnhealthyNodeReplacement"]) == (True, True)
    assert described["StepConcurrencyLevel"] == 5
    emr.terminate_job_flows(JobFlowIds=[made])


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("ServiceRole", "ServiceRole is required for creating cluster."),
        ("JobFlowRole", "InstanceProfile is required for creating cluster."),
    ],
)
def test_a_cluster_needs_its_roles(without, message):
    assert refused(
        "run_job_flow",
        Name="n",
        ReleaseLabel="emr-7.10.0",
        Instances={"MasterInstanceType": "m5.xlarge", "InstanceCount": 1},
        **{key: value for key, value in ROLES.items() if key != without},
    ) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"Steps": [bash("true")] * 257}, "Maximum number of active steps"),
        ({"StepConcurrencyLevel": 257}, "Invalid step concurrency level. Allowed level is from 1 to 256"),
        ({"AutoTerminationPolicy": {"IdleTimeout": 1}}, "IdleTimeout"),
        ({"Tags": [{"Value": "v"}]}, "Invalid tag key: 'null'."),
    ],
)
def test_a_cluster_that_is_refused_leaves_nothing(request_, message):
    before = datetime.now(timezone.utc)
    with pytest.raises(ClientError, match=message):
        start(**request_)
    assert emr.list_clusters(CreatedAfter=before)["Clusters"] == []


# The words of states


def test_why_a_cluster_waits(cluster):
    made = start()
    assert until(made, "WAITING")["StateChangeReason"] == {"Message": "Cluster ready to run steps."}
    for script, word in (("true", "completed"), ("false", "failed")):
        emr.add_job_flow_steps(JobFlowId=made, Steps=[bash(script)])
        deadline = time.monotonic() + 60
        while word not in describe(made)["Status"]["StateChangeReason"]["Message"]:
            assert time.monotonic() < deadline, describe(made)["Status"]
            time.sleep(0.02)
        assert describe(made)["Status"]["StateChangeReason"] == {
            "Message": f"Cluster ready after last step {word}."
        }
    emr.terminate_job_flows(JobFlowIds=[made])
    ended = until(made, "TERMINATED")
    assert ended["StateChangeReason"] == {"Code": "USER_REQUEST", "Message": "Terminated by user request"}


def test_why_a_cluster_ended():
    failed = start(Steps=[bash("false", "TERMINATE_CLUSTER")])
    assert until(failed, "TERMINATED_WITH_ERRORS")["StateChangeReason"] == {
        "Code": "STEP_FAILURE",
        "Message": "Shut down as step failed",
    }
    (flow,) = emr.describe_job_flows(JobFlowIds=[failed])["JobFlows"]
    assert flow["ExecutionStatusDetail"]["State"] == "FAILED"
    done = start(keep=False, Steps=[bash("true")])
    until(done, "TERMINATING")
    (flow,) = emr.describe_job_flows(JobFlowIds=[done], JobFlowStates=["SHUTTING_DOWN"])["JobFlows"]
    assert flow["ExecutionStatusDetail"]["State"] == "SHUTTING_DOWN"
    assert until(done, "TERMINATED")["StateChangeReason"] == {
        "Code": "ALL_STEPS_COMPLETED",
        "Message": "Steps completed",
    }


def test_ids_of_job_flows_that_are_not(cluster):
    assert refused("terminate_job_flows", JobFlowIds=["j-NO"]) == (
        "ValidationException",
        "Specified job flow ID not valid.",
    )
    assert refused("terminate_job_flows", JobFlowIds=[cluster, cluster]) == (
        "ValidationException",
        "Specified job flow ID does not exist.",
    )


# Lists


def test_list_clusters_with_filters_and_pages():
    before = datetime.now(timezone.utc)
    made = [start() for _ in range(55)]
    pages = list(emr.get_paginator("list_clusters").paginate(CreatedAfter=before))
    assert [len(page["Clusters"]) for page in pages] == [50, 5]
    assert [found["Id"] for page in pages for found in page["Clusters"]] == made[::-1]
    for one in made:
        until(one, "WAITING")
    emr.terminate_job_flows(JobFlowIds=made[:10])
    for one in made[:10]:
        until(one, "TERMINATED")

    def listed(*states, **request):
        found = emr.get_paginator("list_clusters").paginate(
            ClusterStates=states, CreatedAfter=before, **request
        )
        return {one["Id"] for page in found for one in page["Clusters"]}

    assert listed("TERMINATED") == set(made[:10])
    assert listed("WAITING") == set(made[10:])
    assert listed("TERMINATED", "WAITING") == set(made)
    assert listed("STARTING") == set()
    assert listed("WAITING", CreatedBefore=before) == set()
    (summary,) = [
        one for one in emr.list_clusters(ClusterStates=["WAITING"])["Clusters"] if one["Id"] == made[-1]
    ]
    assert set(summary) == {"Id", "Name", "Status", "NormalizedInstanceHours", "ClusterArn"}
    emr.terminate_job_flows(JobFlowIds=made[10:])


# DescribeJobFlows


def test_job_flows():
    made = start(
        keep=False,
        Steps=[bash("true")],
        Instances={
            "MasterInstanceType": "m5.xlarge",
            "SlaveInstanceType": "r5.xlarge",
            "InstanceCount": 3,
            "KeepJobFlowAliveWhenNoSteps": False,
        },
    )
    until(made, "TERMINATED")
    (flow,) = emr.describe_job_flows(JobFlowIds=[made])["JobFlows"]
    assert flow["Name"] == "n"
    assert flow["ExecutionStatusDetail"]["State"] == "COMPLETED"
    assert flow["ExecutionStatusDetail"]["LastStateChangeReason"] == "Steps completed"
    instances = flow["Instances"]
    assert (instances["MasterInstanceType"], instances["SlaveInstanceType"]) == ("m5.xlarge", "r5.xlarge")
    assert (instances["InstanceCount"], instances["KeepJobFlowAliveWhenNoSteps"]) == (3, False)
    assert [group["InstanceRole"] for group in instances["InstanceGroups"]] == ["MASTER", "CORE"]
    (master,) = emr.list_instances(ClusterId=made, InstanceGroupTypes=["MASTER"])["Instances"]
    assert instances["MasterInstanceId"] == master["Ec2InstanceId"]
    (step,) = flow["Steps"]
    assert step["StepConfig"] == bash("true") | {
        "HadoopJarStep": {**bash("true")["HadoopJarStep"], "Properties": []}
    }
    assert step["ExecutionStatusDetail"]["State"] == "COMPLETED"
    done = emr.describe_job_flows(JobFlowStates=["COMPLETED"])["JobFlows"]
    assert made in [flow["JobFlowId"] for flow in done]
    assert refused("describe_job_flows", JobFlowIds=["j-NO"])[1] == "Specified job flow ID not valid."


# Security


def test_security_configurations():
    text = json.dumps({"EncryptionConfiguration": {"EnableInTransitEncryption": False}})
    created = emr.create_security_configuration(Name="mine", SecurityConfiguration=text)
    assert created["Name"] == "mine"
    described = emr.describe_security_configuration(Name="mine")
    assert described["SecurityConfiguration"] == text
    assert described["CreationDateTime"] == created["CreationDateTime"]
    assert [one["Name"] for one in emr.list_security_configurations()["SecurityConfigurations"]] == ["mine"]
    assert refused("create_security_configuration", Name="mine", SecurityConfiguration="{}") == (
        "InvalidRequestException",
        "SecurityConfiguration with name 'mine' already exists.",
    )
    assert refused("create_security_configuration", Name="bad", SecurityConfiguration="{")[0] == (
        "InvalidRequestException"
    )
    made = start(SecurityConfiguration="mine")
    assert describe(made)["SecurityConfiguration"] == "mine"
    emr.terminate_job_flows(JobFlowIds=[made])
    emr.delete_security_configuration(Name="mine")
    assert emr.list_security_configurations()["SecurityConfigurations"] == []
    for operation in ("describe_security_configuration", "delete_security_configuration"):
        assert refused(operation, Name="mine") == (
            "InvalidRequestException",
            "Security configuration with name 'mine' does not exist.",
        )
    with pytest.raises(ClientError) as caught:
        start(SecurityConfiguration="mine")
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "Security configuration with name 'mine' does not exist.",
    }


def test_block_public_access():
    default = emr.get_block_public_access_configuration()["BlockPublicAccessConfiguration"]
    assert default == {
        "BlockPublicSecurityGroupRules": True,
        "PermittedPublicSecurityGroupRuleRanges": [{"MinRange": 22, "MaxRange": 22}],
    }
    wanted = {"BlockPublicSecurityGroupRules": False, "PermittedPublicSecurityGroupRuleRanges": []}
    emr.put_block_public_access_configuration(BlockPublicAccessConfiguration=wanted)
    answer = emr.get_block_public_access_configuration()
    assert answer["BlockPublicAccessConfiguration"] == wanted
    assert answer["BlockPublicAccessConfigurationMetadata"]["CreatedByArn"].startswith("arn:aws:")
    emr.put_block_public_access_configuration(BlockPublicAccessConfiguration=default)


# CloudFormation


def test_a_cluster_of_a_stack(tmp_path):
    done = tmp_path / "done"
    cloudformation = boto3.client("cloudformation")
    template = {
        "Parameters": {"Count": {"Type": "Number", "Default": 2}},
        "Resources": {
            "Security": {
                "Type": "AWS::EMR::SecurityConfiguration",
                "Properties": {"Name": "of-a-stack", "SecurityConfiguration": {}},
            },
            "Cluster": {
                "Type": "AWS::EMR::Cluster",
                "Properties": {
                    "Name": "of-a-stack",
                    "ReleaseLabel": "emr-7.10.0",
                    **ROLES,
                    "Applications": [{"Name": "Spark"}],
                    "SecurityConfiguration": {"Ref": "Security"},
                    "Instances": {
                        "TerminationProtected": "false",
                        "MasterInstanceGroup": {"InstanceType": "m5.xlarge", "InstanceCount": 1},
                        "CoreInstanceGroup": {
                            "InstanceType": "r5.xlarge",
                            "InstanceCount": {"Ref": "Count"},
                        },
                    },
                    "Configurations": [
                        {"Classification": "spark-defaults", "ConfigurationProperties": {"spark.x": "1"}}
                    ],
                    "Steps": [bash(f"touch {done}")],
                    "Tags": [{"Key": "team", "Value": "data"}],
                },
            },
            "More": {
                "Type": "AWS::EMR::InstanceGroupConfig",
                "Properties": {
                    "JobFlowId": {"Ref": "Cluster"},
                    "InstanceRole": "TASK",
                    "InstanceType": "m5.xlarge",
                    "InstanceCount": "1",
                },
            },
        },
        "Outputs": {
            "Id": {"Value": {"Ref": "Cluster"}},
            "Master": {"Value": {"Fn::GetAtt": ["Cluster", "MasterPublicDNS"]}},
        },
    }
    cloudformation.create_stack(StackName="s", TemplateBody=json.dumps(template))
    (stack,) = cloudformation.describe_stacks(StackName="s")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    made = outputs["Id"]
    until(made, "WAITING")
    assert done.exists()
    described = describe(made)
    assert (described["Name"], described["MasterPublicDnsName"]) == ("of-a-stack", outputs["Master"])
    assert described["Configurations"] == [
        {"Classification": "spark-defaults", "Properties": {"spark.x": "1"}}
    ]
    assert described["Tags"] == [{"Key": "team", "Value": "data"}]
    groups = emr.list_instance_groups(ClusterId=made)["InstanceGroups"]
    assert [(g["InstanceGroupType"], g["RequestedInstanceCount"]) for g in groups] == [
        ("MASTER", 1),
        ("CORE", 2),
        ("TASK", 1),
    ]
    assert described["SecurityConfiguration"] == "of-a-stack"
    assert emr.describe_security_configuration(Name="of-a-stack")["SecurityConfiguration"] == "{}"
    cloudformation.delete_stack(StackName="s")
    assert until(made, "TERMINATED")["StateChangeReason"]["Code"] == "USER_REQUEST"
