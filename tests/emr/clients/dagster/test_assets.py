"""Assets that Dagster has made on EMR: with Pipes, and with the older job runner."""

import io
import logging
import time
import zipfile
from pathlib import Path

import boto3
import dagster_pipes
import pytest
from dagster import AssetExecutionContext, asset, materialize
from dagster_aws.emr import EmrError, EmrJobRunner
from dagster_aws.pipes import PipesEMRClient, PipesS3MessageReader

HERE = Path(__file__).parent
BUCKET = "dagster-squares"
INSTANCES = {"MasterInstanceType": "m5.xlarge", "SlaveInstanceType": "m5.xlarge", "InstanceCount": 3}
ROLES = {"JobFlowRole": "EMR_EC2_DefaultRole", "ServiceRole": "EMR_DefaultRole"}


@pytest.fixture(scope="module")
def bucket():
    made = boto3.resource("s3").create_bucket(Bucket=BUCKET)
    made.put_object(Key="job.py", Body=(HERE / "job.py").read_bytes())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        package = Path(dagster_pipes.__file__).parent
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    made.put_object(Key="dagster_pipes.zip", Body=packed.getvalue())
    return made


@asset
def squares(context: AssetExecutionContext, emr: PipesEMRClient):
    arguments = ["spark-submit", "--deploy-mode", "cluster", "--py-files", f"s3://{BUCKET}/dagster_pipes.zip"]
    return emr.run(
        context=context,
        extras={"numbers": 100},
        run_job_flow_params={
            "Name": "squares",
            "LogUri": f"s3://{BUCKET}/logs/",
            "ReleaseLabel": "emr-7.10.0",
            "Applications": [{"Name": "Spark"}],
            "Instances": {**INSTANCES, "KeepJobFlowAliveWhenNoSteps": False},
            "Steps": [
                {
                    "Name": "squares",
                    "ActionOnFailure": "TERMINATE_CLUSTER",
                    "HadoopJarStep": {
                        "Jar": "command-runner.jar",
                        "Args": [*arguments, f"s3://{BUCKET}/job.py", f"s3://{BUCKET}/squares/"],
                    },
                }
            ],
            **ROLES,
        },
    ).get_materialize_result()


def test_an_asset_made_with_pipes(bucket):
    reader = PipesS3MessageReader(
        client=boto3.client("s3"), bucket=BUCKET, include_stdio_in_messages=True, interval=1
    )
    result = materialize([squares], resources={"emr": PipesEMRClient(message_reader=reader)})
    assert result.success
    (made,) = result.asset_materializations_for_node("squares")
    assert made.metadata["rows"].value == 100
    assert list(bucket.objects.filter(Prefix="squares/part-"))


def until_complete(runner, log, cluster, step):
    deadline = time.monotonic() + 120
    while not runner.is_emr_step_complete(log, cluster, step):
        assert time.monotonic() < deadline
        time.sleep(runner.check_cluster_every)


def test_the_job_runner(bucket):
    log = logging.getLogger("emr")
    runner = EmrJobRunner(region="us-east-1", check_cluster_every=1)
    cluster = runner.run_job_flow(
        log,
        {
            "Name": "runner",
            "LogUri": f"s3://{BUCKET}/logs/",
            "ReleaseLabel": "emr-7.10.0",
            "Instances": {**INSTANCES, "KeepJobFlowAliveWhenNoSteps": True},
            **ROLES,
        },
    )
    assert runner.cluster_id_from_name("runner") == cluster
    runner.add_tags(log, {"owner": "data"}, cluster)
    good, bad = runner.add_job_flow_steps(
        log,
        cluster,
        [
            runner.construct_step_dict_for_command("good", ["echo", "well done"]),
            runner.construct_step_dict_for_command("bad", ["ls", "/no/such/place"]),
        ],
    )
    until_complete(runner, log, cluster, good)
    assert runner.retrieve_logs_for_step_id(log, cluster, good) == ("well done\n", "")
    with pytest.raises(EmrError, match=r"EMR step .* failed"):
        until_complete(runner, log, cluster, bad)
    assert "No such file" in runner.retrieve_logs_for_step_id(log, cluster, bad)[1]
    boto3.client("emr").terminate_job_flows(JobFlowIds=[cluster])
