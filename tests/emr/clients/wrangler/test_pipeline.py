"""A team's pipeline, written with awswrangler: stage, run on EMR, look at what came out."""

import gzip
import time
from pathlib import Path

import awswrangler as wr
import boto3
import pandas as pd
import pytest

JOB = Path(__file__).parent / "jobs" / "totals.py"
BUCKET = "orders-lake"


def wait_for_step(cluster_id, step_id):
    deadline = time.monotonic() + 300
    while (state := wr.emr.get_step_state(cluster_id, step_id)) in ("PENDING", "RUNNING"):
        assert time.monotonic() < deadline, state
        time.sleep(0.5)
    return state


def wait_for_cluster(cluster_id, *states):
    deadline = time.monotonic() + 300
    while (state := wr.emr.get_cluster_state(cluster_id)) not in states:
        assert time.monotonic() < deadline, state
        time.sleep(0.5)
    return state


@pytest.fixture(scope="module")
def lake():
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    wr.s3.upload(str(JOB), f"s3://{BUCKET}/jobs/totals.py")
    orders = pd.DataFrame({"country": ["de", "fr", "de"], "amount": [1, 10, 100]})
    wr.s3.to_parquet(orders, f"s3://{BUCKET}/orders/", dataset=True, mode="overwrite")
    return f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def cluster(lake):
    cluster_id = wr.emr.create_cluster(
        subnet_id="subnet-0a1b2c3d4e5f60718",
        cluster_name="orders",
        logging_s3_path=f"{lake}/logs/",
        emr_release="emr-7.10.0",
        applications=["Spark", "Hive", "Presto"],
        instance_num_on_demand_core=2,
        instance_num_spot_task=3,
        key_pair_name="data-team",
        security_group_master="sg-0a1b2c3d",
        security_group_slave="sg-1a2b3c4d",
        spark_pyarrow=True,
        maximize_resource_allocation=True,
        spark_defaults={"spark.sql.shuffle.partitions": "2"},
        custom_classifications=[{"Classification": "livy-conf", "Properties": {"livy.spark.master": "yarn"}}],
        auto_termination_policy={"IdleTimeout": 3600},
        tags={"team": "data", "cost-center": "42"},
    )
    assert wait_for_cluster(cluster_id, "WAITING", "TERMINATED_WITH_ERRORS") == "WAITING"
    yield cluster_id
    wr.emr.terminate_cluster(cluster_id)
    assert wait_for_cluster(cluster_id, "TERMINATED", "TERMINATED_WITH_ERRORS") == "TERMINATED"


@pytest.mark.parametrize("deploy_mode", ["cluster", "client"])
def test_spark_step(cluster, lake, deploy_mode):
    target = f"{lake}/totals-{deploy_mode}/"
    step_id = wr.emr.submit_spark_step(
        cluster,
        f"{lake}/jobs/totals.py",
        args=[f"{lake}/orders/", target],
        deploy_mode=deploy_mode,
        name="totals",
    )
    assert wait_for_step(cluster, step_id) == "COMPLETED"
    totals = wr.s3.read_parquet(target, dataset=True)
    assert dict(zip(totals["country"], totals["total"], strict=True)) == {"de": 101, "fr": 10}


def test_commands_and_built_steps(cluster):
    single = wr.emr.submit_step(cluster, "hadoop fs -mkdir -p /tmp/in", name="mkdir")
    first, second = wr.emr.submit_steps(
        cluster,
        [
            wr.emr.build_step("hadoop fs -touchz /tmp/in/x", name="touch"),
            wr.emr.build_step("hadoop fs -test -e /tmp/in/y", name="test", action_on_failure="CONTINUE"),
        ],
    )
    assert [wait_for_step(cluster, step) for step in (single, first, second)] == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
    ]


def test_script(cluster, lake, tmp_path):
    (tmp_path / "greet.sh").write_text('#!/bin/bash\necho "hello $1"\n')
    wr.s3.upload(str(tmp_path / "greet.sh"), f"{lake}/scripts/greet.sh")
    step_id = wr.emr.submit_step(cluster, f"{lake}/scripts/greet.sh world", name="greet", script=True)
    assert wait_for_step(cluster, step_id) == "COMPLETED"
    wr.s3.download(f"{lake}/logs/{cluster}/steps/{step_id}/stdout.gz", str(tmp_path / "stdout.gz"))
    assert gzip.open(tmp_path / "stdout.gz", "rt").read() == "hello world\n"


def test_the_cluster_is_as_it_was_asked_for(cluster):
    described = boto3.client("emr").describe_cluster(ClusterId=cluster)["Cluster"]
    assert {tag["Key"]: tag["Value"] for tag in described["Tags"]} == {"team": "data", "cost-center": "42"}
    assert described["InstanceCollectionType"] == "INSTANCE_FLEET"
    assert described["Ec2InstanceAttributes"]["Ec2KeyName"] == "data-team"


def test_a_cluster_for_its_steps_alone(lake):
    cluster_id = wr.emr.create_cluster(
        subnet_id="subnet-0a1b2c3d4e5f60718",
        logging_s3_path=f"{lake}/logs/",
        keep_cluster_alive_when_no_steps=False,
        steps=[wr.emr.build_step("true", name="nothing")],
    )
    assert wait_for_cluster(cluster_id, "TERMINATED", "TERMINATED_WITH_ERRORS") == "TERMINATED"
