"""Every night: totals of the day's sales, on a cluster of their own."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.providers.amazon.aws.operators.emr import (
    EmrAddStepsOperator,
    EmrCreateJobFlowOperator,
    EmrModifyClusterOperator,
    EmrTerminateJobFlowOperator,
)
from airflow.providers.amazon.aws.operators.s3 import S3CreateBucketOperator, S3CreateObjectOperator
from airflow.providers.amazon.aws.sensors.emr import EmrJobFlowSensor, EmrStepSensor
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.sdk import DAG, TriggerRule

BUCKET = os.environ.get("SALES_BUCKET", "sales-nightly")
POLL_SECONDS = int(os.environ.get("POLL_SECONDS", "30"))
JOB = Path(__file__).parent.parent / "jobs" / "totals.py"

JOB_FLOW = {
    "Name": "nightly-totals",
    "ReleaseLabel": "emr-7.10.0",
    "Applications": [{"Name": "Spark"}],
    "LogUri": f"s3://{BUCKET}/logs/",
    "Instances": {
        "InstanceGroups": [
            {
                "Name": "Primary",
                "Market": "ON_DEMAND",
                "InstanceRole": "MASTER",
                "InstanceType": "m5.xlarge",
                "InstanceCount": 1,
            },
            {
                "Name": "Core",
                "Market": "SPOT",
                "InstanceRole": "CORE",
                "InstanceType": "m5.xlarge",
                "InstanceCount": 2,
            },
        ],
        "KeepJobFlowAliveWhenNoSteps": True,
        "TerminationProtected": False,
    },
    "Configurations": [
        {
            "Classification": "spark-env",
            "Configurations": [
                {"Classification": "export", "Properties": {"PYSPARK_PYTHON": "/usr/bin/python3"}}
            ],
        }
    ],
    "Steps": [
        {
            "Name": "Setup Hadoop Debugging",
            "ActionOnFailure": "TERMINATE_CLUSTER",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["state-pusher-script"]},
        }
    ],
    "JobFlowRole": "EMR_EC2_DefaultRole",
    "ServiceRole": "EMR_DefaultRole",
    "Tags": [{"Key": "team", "Value": "sales"}],
}

STEPS = [
    {
        "Name": "totals",
        "ActionOnFailure": "CANCEL_AND_WAIT",
        "HadoopJarStep": {
            "Jar": "command-runner.jar",
            "Args": [
                "spark-submit",
                "--deploy-mode",
                "cluster",
                f"s3://{BUCKET}/jobs/totals.py",
                "--source",
                f"s3://{BUCKET}/sales/{{{{ ds }}}}.csv",
                "--target",
                f"s3://{BUCKET}/totals/{{{{ ds }}}}",
            ],
        },
    }
]

with DAG(
    "nightly_totals",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"retries": 0},
) as dag:
    bucket = S3CreateBucketOperator(task_id="make_bucket", bucket_name=BUCKET)
    job = S3CreateObjectOperator(
        task_id="upload_job", s3_bucket=BUCKET, s3_key="jobs/totals.py", data=JOB.read_text(), replace=True
    )
    sales = S3CreateObjectOperator(
        task_id="upload_sales",
        s3_bucket=BUCKET,
        s3_key="sales/{{ ds }}.csv",
        data="shop,amount\nbonn,1\nbonn,2\nlyon,40\n",
    )
    arrived = S3KeySensor(
        task_id="sales_are_there",
        bucket_key=f"s3://{BUCKET}/sales/{{{{ ds }}}}.csv",
        poke_interval=POLL_SECONDS,
    )
    create = EmrCreateJobFlowOperator(
        task_id="create_cluster",
        job_flow_overrides=JOB_FLOW,
        wait_for_completion=True,
        waiter_delay=POLL_SECONDS,
        deferrable=True,
    )
    add = EmrAddStepsOperator(task_id="add_steps", job_flow_id=create.output, steps=STEPS)
    # Not before the step is there: with concurrent steps EMR takes no other action on failure than CONTINUE.
    modify = EmrModifyClusterOperator(
        task_id="let_steps_run_at_once", cluster_id=create.output, step_concurrency_level=2
    )
    wait = EmrStepSensor(
        task_id="wait_for_totals",
        job_flow_id=create.output,
        step_id="{{ task_instance.xcom_pull(task_ids='add_steps', key='return_value')[0] }}",
        poke_interval=POLL_SECONDS,
        deferrable=True,
    )
    written = S3KeySensor(
        task_id="totals_are_there",
        bucket_key=f"s3://{BUCKET}/totals/{{{{ ds }}}}/_SUCCESS",
        poke_interval=POLL_SECONDS,
    )
    end = EmrTerminateJobFlowOperator(
        task_id="terminate_cluster", job_flow_id=create.output, trigger_rule=TriggerRule.ALL_DONE
    )
    ended = EmrJobFlowSensor(task_id="cluster_ended", job_flow_id=create.output, poke_interval=POLL_SECONDS)

    bucket >> [job, sales] >> arrived >> create >> add >> modify >> wait >> written >> end >> ended

if __name__ == "__main__":
    dag.test()
