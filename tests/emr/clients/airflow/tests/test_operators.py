"""The EMR operators, sensors, triggers and the hook of Airflow's Amazon provider, each run by itself."""

from __future__ import annotations

import asyncio
import copy
import uuid

import pytest
from airflow.providers.amazon.aws.hooks.emr import EmrHook
from airflow.providers.amazon.aws.operators.emr import (
    EmrAddStepsOperator,
    EmrCreateJobFlowOperator,
    EmrModifyClusterOperator,
    EmrTerminateJobFlowOperator,
)
from airflow.providers.amazon.aws.sensors.emr import EmrJobFlowSensor, EmrStepSensor
from airflow.providers.amazon.aws.utils.waiter import WaitPolicy
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from botocore.exceptions import ClientError, WaiterError

JOB_FLOW = {
    "Name": "operators",
    "ReleaseLabel": "emr-7.10.0",
    "Applications": [{"Name": "Spark"}],
    "Instances": {
        "InstanceGroups": [
            {
                "Name": "Primary",
                "Market": "ON_DEMAND",
                "InstanceRole": "MASTER",
                "InstanceType": "m5.xlarge",
                "InstanceCount": 1,
            }
        ],
        "KeepJobFlowAliveWhenNoSteps": True,
        "TerminationProtected": False,
    },
    "JobFlowRole": "EMR_EC2_DefaultRole",
    "ServiceRole": "EMR_DefaultRole",
}


def job_flow(**changes):
    return copy.deepcopy(JOB_FLOW) | changes


def bash(script, action="CONTINUE"):
    return {
        "Name": "bash",
        "ActionOnFailure": action,
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]},
    }


def create(context, overrides=None, **options):
    options = {"wait_for_completion": True, "waiter_delay": 1} | options
    operator = EmrCreateJobFlowOperator(
        task_id="create", job_flow_overrides=overrides or job_flow(), emr_conn_id=None, **options
    )
    return operator.execute(context)


def add_steps(context, cluster, *steps, **options):
    return EmrAddStepsOperator(task_id="add", job_flow_id=cluster, steps=list(steps), **options).execute(
        context
    )


def wait_for_step(context, cluster, step, **options):
    EmrStepSensor(task_id="step", job_flow_id=cluster, step_id=step, poke_interval=1, **options).execute(
        context
    )


def wait_for_cluster(context, cluster, **options):
    EmrJobFlowSensor(task_id="flow", job_flow_id=cluster, poke_interval=1, **options).execute(context)


def deferred(operator, context):
    """Run a task up to where it hands over to the triggerer."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    return caught.value


def resume(operator, context, deferral):
    """Do what the triggerer and then the worker do with a deferred task."""

    async def first_event():
        async for event in deferral.trigger.run():
            return event

    # A trigger crosses processes: as its class's path and its arguments.
    path, arguments = deferral.trigger.serialize()
    assert path.startswith("airflow.providers.amazon.aws.triggers.emr.")
    assert type(deferral.trigger)(**arguments).serialize() == (path, arguments)
    event = asyncio.run(first_event())
    return getattr(operator, deferral.method_name)(context, event=event.payload)


@pytest.fixture
def cluster(context):
    cluster_id = create(context)
    yield cluster_id
    EmrTerminateJobFlowOperator(task_id="terminate", job_flow_id=cluster_id).execute(context)


def test_steps_and_their_sensor(context, cluster):
    good, bad = add_steps(context, cluster, bash("true"), bash("echo 'Error: no disk' >&2; exit 3"))
    wait_for_step(context, cluster, good)
    with pytest.raises(AirflowException, match=r"EMR job failed.*Error: no disk"):
        wait_for_step(context, cluster, bad)


def test_steps_that_the_operator_waits_for(context, cluster):
    waiting = {"wait_for_completion": True, "waiter_delay": 1}
    assert len(add_steps(context, cluster, bash("true"), bash("true"), **waiting)) == 2
    with pytest.raises(AirflowException, match="EMR Steps failed"):
        add_steps(context, cluster, bash("exit 1"), **waiting)


def test_a_cluster_by_its_name(context):
    name = f"named-{uuid.uuid4()}"
    cluster = create(context, job_flow(Name=name))
    assert EmrHook().get_cluster_id_by_name(name, ["RUNNING", "WAITING"]) == cluster
    assert EmrHook().get_cluster_id_by_name(name, ["TERMINATED"]) is None
    operator = EmrAddStepsOperator(
        task_id="add", job_flow_name=name, cluster_states=["WAITING", "RUNNING"], steps=[bash("true")]
    )
    (step,) = operator.execute(context)
    wait_for_step(context, cluster, step)


def test_modify(context, cluster):
    operator = EmrModifyClusterOperator(task_id="modify", cluster_id=cluster, step_concurrency_level=10)
    assert operator.execute(context) == 10
    described = EmrHook().conn.describe_cluster(ClusterId=cluster)
    assert described["Cluster"]["StepConcurrencyLevel"] == 10


def test_a_job_flow_of_steps_alone(context):
    flow = job_flow(Steps=[bash("true"), bash("true")])
    flow["Instances"]["KeepJobFlowAliveWhenNoSteps"] = False
    cluster = create(context, flow, wait_policy=WaitPolicy.WAIT_FOR_STEPS_COMPLETION)
    wait_for_cluster(context, cluster)


def test_a_job_flow_whose_step_fails(context):
    flow = job_flow(Steps=[bash("exit 1", action="TERMINATE_CLUSTER")])
    cluster = create(context, flow, wait_for_completion=False)
    with pytest.raises(AirflowException, match="STEP_FAILURE"):
        wait_for_cluster(context, cluster)
    with pytest.raises(WaiterError):
        create(context, flow, wait_policy=WaitPolicy.WAIT_FOR_STEPS_COMPLETION)


def test_target_states(context, cluster):
    wait_for_cluster(context, cluster, target_states=["RUNNING", "WAITING"])


def test_deferred_tasks(context, tmp_path):
    creation = EmrCreateJobFlowOperator(
        task_id="create",
        job_flow_overrides=job_flow(),
        emr_conn_id=None,
        wait_for_completion=True,
        waiter_delay=1,
        deferrable=True,
    )
    cluster = resume(creation, context, deferred(creation, context))

    gate = tmp_path / "gate"
    addition = EmrAddStepsOperator(
        task_id="add",
        job_flow_id=cluster,
        steps=[bash(f"until [ -e {gate} ]; do sleep 0.1; done")],
        waiter_delay=1,
        deferrable=True,
    )
    added = deferred(addition, context)
    step = added.trigger.serialize()[1]["step_ids"][0]
    sensor = EmrStepSensor(
        task_id="step", job_flow_id=cluster, step_id=step, poke_interval=1, deferrable=True
    )
    sensed = deferred(sensor, context)
    gate.touch()
    assert resume(addition, context, added) == [step]
    resume(sensor, context, sensed)

    termination = EmrTerminateJobFlowOperator(
        task_id="terminate", job_flow_id=cluster, waiter_delay=1, deferrable=True
    )
    terminated = deferred(termination, context)
    flow_sensor = EmrJobFlowSensor(task_id="flow", job_flow_id=cluster, poke_interval=1, deferrable=True)
    ended = deferred(flow_sensor, context)
    resume(termination, context, terminated)
    resume(flow_sensor, context, ended)


def test_a_deferred_step_that_fails(context, cluster):
    addition = EmrAddStepsOperator(
        task_id="add", job_flow_id=cluster, steps=[bash("exit 1")], waiter_delay=1, deferrable=True
    )
    with pytest.raises(AirflowException, match="FAILED"):
        resume(addition, context, deferred(addition, context))


def test_errors_of_emr_reach_the_task(context, cluster):
    with pytest.raises(ClientError, match="is not valid"):
        wait_for_cluster(context, "j-DOESNOTEXIST0")
    with pytest.raises(ClientError, match="is not valid"):
        wait_for_step(context, cluster, "s-DOESNOTEXIST0")
