"""All of boto3's waiters for EMR, to each of their ends."""

import boto3
import pytest
from botocore.exceptions import WaiterError

emr = boto3.client("emr")


def bash(script, action="CONTINUE"):
    return {
        "Name": "bash",
        "ActionOnFailure": action,
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]},
    }


def start(keep=True, **request):
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": keep}
    roles = {"JobFlowRole": "EMR_EC2_DefaultRole", "ServiceRole": "EMR_DefaultRole"}
    made = emr.run_job_flow(Name="w", ReleaseLabel="emr-7.10.0", Instances=instances, **roles, **request)
    return made["JobFlowId"]


def add(cluster, *steps):
    return emr.add_job_flow_steps(JobFlowId=cluster, Steps=list(steps))["StepIds"]


def fails(waiter, **arguments):
    with pytest.raises(WaiterError, match="terminal failure state") as caught:
        emr.get_waiter(waiter).wait(**arguments)
    return caught.value.last_response


def test_there_are_no_other_waiters():
    assert set(emr.waiter_names) == {"cluster_running", "cluster_terminated", "step_complete"}


@pytest.mark.parametrize("waiter", emr.waiter_names)
def test_they_look_often_and_give_up_as_late_as_before(waiter):
    config = emr.get_waiter(waiter).config
    assert (config.delay, config.max_attempts) == (1, 1800)


def test_a_cluster_that_runs_and_is_terminated():
    cluster = start(Steps=[bash("sleep 2")])
    emr.get_waiter("cluster_running").wait(ClusterId=cluster)
    emr.terminate_job_flows(JobFlowIds=[cluster])
    emr.get_waiter("cluster_terminated").wait(ClusterId=cluster)
    assert emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"] == "TERMINATED"


def test_a_cluster_that_waits():
    cluster = start()
    emr.get_waiter("cluster_running").wait(ClusterId=cluster)


def test_a_cluster_that_never_runs():
    script = {"Name": "boot", "ScriptBootstrapAction": {"Path": "s3://no-such-bucket/boot.sh"}}
    cluster = start(BootstrapActions=[script])
    response = fails("cluster_running", ClusterId=cluster)
    assert response["Cluster"]["Status"]["StateChangeReason"]["Code"] == "BOOTSTRAP_FAILURE"
    fails("cluster_terminated", ClusterId=cluster)


def test_steps():
    cluster = start()
    good, bad, cancelled = add(cluster, bash("true"), bash("exit 1"), bash("sleep 1000"))
    emr.get_waiter("step_complete").wait(ClusterId=cluster, StepId=good)
    assert fails("step_complete", ClusterId=cluster, StepId=bad)["Step"]["Status"]["State"] == "FAILED"
    emr.cancel_steps(ClusterId=cluster, StepIds=[cancelled], StepCancellationOption="TERMINATE_PROCESS")
    last = fails("step_complete", ClusterId=cluster, StepId=cancelled)
    assert last["Step"]["Status"]["State"] == "CANCELLED"


def test_delay_and_attempts_of_the_users_own():
    cluster = start()
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        emr.get_waiter("cluster_terminated").wait(
            ClusterId=cluster, WaiterConfig={"Delay": 1, "MaxAttempts": 2}
        )
