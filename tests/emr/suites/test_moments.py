"""Requests at inconvenient moments: at once, again, in the middle of a listing, for what is protected."""

import ipaddress
import json
import os
import time
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

emr = boto3.client("emr")


def bash(script, action="CONTINUE"):
    jar_step = {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]}
    return {"Name": "s", "ActionOnFailure": action, "HadoopJarStep": jar_step}


def until(look, *wanted):
    deadline = time.monotonic() + 60
    while (seen := look()) not in wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


def state_of(cluster):
    return emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]


def step_state(cluster, step):
    return emr.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]["State"]


def add(cluster, *scripts):
    return emr.add_job_flow_steps(JobFlowId=cluster, Steps=[bash(script) for script in scripts])["StepIds"]


def test_a_cluster_that_is_ended_as_its_step_starts(make_cluster):
    made = [make_cluster() for _ in range(5)]
    for cluster in made:
        add(cluster, "exec sleep 1000")
        emr.terminate_job_flows(JobFlowIds=[cluster])
    for cluster in made:
        until(lambda cluster=cluster: state_of(cluster), "TERMINATED")


def test_a_cluster_that_is_ended_as_its_bootstrap_action_starts(s3, scratch):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/b.sh", Body=b"#!/bin/sh\nexec sleep 1000\n")
    action = {"Name": "b", "ScriptBootstrapAction": {"Path": f"{scratch}/b.sh"}}
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    request = {"Name": "n", "ReleaseLabel": "emr-7.10.0", "JobFlowRole": "r", "ServiceRole": "r"}
    made = [
        emr.run_job_flow(**request, Instances=instances, BootstrapActions=[action])["JobFlowId"]
        for _ in range(3)
    ]
    emr.terminate_job_flows(JobFlowIds=made)
    for cluster in made:
        until(lambda cluster=cluster: state_of(cluster), "TERMINATED")


@pytest.mark.parametrize("option", ["SEND_INTERRUPT", "TERMINATE_PROCESS"])
def test_steps_that_are_cancelled_as_they_start(make_cluster, option):
    cluster = make_cluster(StepConcurrencyLevel=10)
    made = add(cluster, *["exec sleep 1000"] * 10)
    answer = emr.cancel_steps(ClusterId=cluster, StepIds=made, StepCancellationOption=option)
    assert {info["Status"] for info in answer["CancelStepsInfoList"]} == {"SUBMITTED"}
    for step in made:
        until(lambda step=step: step_state(cluster, step), "CANCELLED")


def test_a_step_that_ignores_the_first_cancel(emr_cluster, tmp_path):
    (step,) = add(emr_cluster, f"trap '' TERM; touch {tmp_path}/runs; while true; do sleep 0.1; done")
    until((tmp_path / "runs").exists, True)
    for option in ("SEND_INTERRUPT", "TERMINATE_PROCESS"):
        answer = emr.cancel_steps(ClusterId=emr_cluster, StepIds=[step], StepCancellationOption=option)
        assert answer["CancelStepsInfoList"][0]["Status"] == "SUBMITTED"
        assert step_state(emr_cluster, step) in ("CANCEL_PENDING", "CANCELLED")
    until(lambda: step_state(emr_cluster, step), "CANCELLED")


def test_a_client_that_looks_every_second_sees_a_waiting_cluster_run(make_cluster):
    cluster = make_cluster()
    (step,) = add(cluster, "true")
    until(lambda: step_state(cluster, step), "COMPLETED")
    assert state_of(cluster) == "RUNNING"
    until(lambda: state_of(cluster), "WAITING")


def test_steps_that_are_cancelled_page_by_page(emr_cluster):
    (first,) = add(emr_cluster, "exec sleep 1000")
    waiting = add(emr_cluster, *["true"] * 120)
    pages = emr.get_paginator("list_steps").paginate(ClusterId=emr_cluster, StepStates=["PENDING"])
    seen = []
    for page in pages:
        ids = [step["Id"] for step in page["Steps"]]
        emr.cancel_steps(ClusterId=emr_cluster, StepIds=ids)
        seen += ids
    # Those of a state are listed in their order, all others the newest first.
    assert seen == waiting
    assert [step["Id"] for step in emr.list_steps(ClusterId=emr_cluster)["Steps"]][:2] == waiting[:-3:-1]
    emr.cancel_steps(ClusterId=emr_cluster, StepIds=[first], StepCancellationOption="TERMINATE_PROCESS")
    with pytest.raises(ClientError, match="maximum of 10") as caught:
        emr.list_steps(ClusterId=emr_cluster, StepIds=waiting[:11])
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"


def test_protection_holds_against_a_step_that_fails(make_cluster):
    cluster = make_cluster(Instances={"TerminationProtected": True})
    steps = [bash("exit 1", "TERMINATE_CLUSTER"), bash("true")]
    ids = emr.add_job_flow_steps(JobFlowId=cluster, Steps=steps)["StepIds"]
    until(lambda: step_state(cluster, ids[1]), "CANCELLED")
    until(lambda: state_of(cluster), "WAITING")
    # The fixture ends it all the same.


def test_members_that_are_null_are_not_there(emr_cluster):
    client = boto3.client("emr")

    def add_nulls(params, **_kwargs):
        body = json.loads(params["body"])
        body["Steps"][0] |= {"ActionOnFailure": None}
        body["Steps"][0]["HadoopJarStep"] |= {"MainClass": None, "Properties": None}
        params["body"] = json.dumps(body | {"ExecutionRoleArn": None})

    client.meta.events.register("before-call.emr.AddJobFlowSteps", add_nulls)
    step = client.add_job_flow_steps(JobFlowId=emr_cluster, Steps=[bash("true")])["StepIds"][0]
    until(lambda: step_state(emr_cluster, step), "COMPLETED")
    described = emr.describe_step(ClusterId=emr_cluster, StepId=step)["Step"]
    assert described["ActionOnFailure"] == "TERMINATE_CLUSTER"


def test_a_bootstrap_script_that_cannot_be_run(s3, scratch):
    s3.put_object(
        Bucket=scratch.bucket, Key=f"{scratch.prefix}/crlf.sh", Body=b"#!/bin/no-such-shell\ntrue\n"
    )
    action = {"Name": "b", "ScriptBootstrapAction": {"Path": f"{scratch}/crlf.sh"}}
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    request = {"Name": "n", "ReleaseLabel": "emr-7.10.0", "JobFlowRole": "r", "ServiceRole": "r"}
    cluster = emr.run_job_flow(**request, Instances=instances, BootstrapActions=[action])["JobFlowId"]
    until(lambda: state_of(cluster), "TERMINATED_WITH_ERRORS")
    reason = emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["StateChangeReason"]["Message"]
    assert "returned a non-zero return code" in reason


def test_a_subnet_is_told_in_both_ways(make_cluster):
    one = make_cluster(Instances={"Ec2SubnetId": "subnet-1"})
    fleet = {
        "InstanceFleetType": "MASTER",
        "TargetOnDemandCapacity": 1,
        "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}],
    }
    some = make_cluster(Instances={"InstanceFleets": [fleet], "Ec2SubnetIds": ["subnet-2", "subnet-3"]})
    told = [
        emr.describe_cluster(ClusterId=cluster)["Cluster"]["Ec2InstanceAttributes"] for cluster in (one, some)
    ]
    assert [place["Ec2SubnetId"] for place in told] == ["subnet-1", "subnet-2"]
    assert [place["RequestedEc2SubnetIds"] for place in told] == [["subnet-1"], ["subnet-2", "subnet-3"]]


def test_variables_that_would_lead_out(make_cluster, run_step, isolated_emr):
    asked = {
        "AWS_ENDPOINT_URL": "https://s3.amazonaws.com",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_REGION": "eu-west-1",
    }
    nested = {"Classification": "export", "Properties": asked}
    cluster = make_cluster(Configurations=[{"Classification": "hadoop-env", "Configurations": [nested]}])
    result = run_step(
        "bash", "-c", "echo $AWS_ENDPOINT_URL; echo $AWS_ACCESS_KEY_ID; echo $AWS_REGION", cluster=cluster
    )
    endpoint, *others = result.stdout.split()
    assert others == [os.environ["AWS_ACCESS_KEY_ID"], "eu-west-1"]
    if isolated_emr.backend == "docker":
        # This machine, as the container reaches it.
        assert ipaddress.ip_address(urlsplit(endpoint).hostname).is_private
    else:
        assert endpoint == os.environ["AWS_ENDPOINT_URL"]
    assert "AWS_ENDPOINT_URL: left out" in (result.log / "controller").read_text()
