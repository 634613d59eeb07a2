"""Runs of pytest on the emr backend, on what stands in for Amazon's AWS."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.backends.emr import lifetime, tags
from pytest_isolated_emr.backends.emr.keeper_policy import check_calls
from tests.amazon import BUCKET, ON_AMAZON, PREFIX, ROLE
from tests.conftest import Finished, Run, Start
from tests.emr_backend.aws_proxy import AwsProxy
from tests.emr_backend.runs import HAS_SPARK, run_id_of

STEPS = """
import json, os
import pytest

def test_a_step(run_step, isolated_emr, emr, scratch, s3):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/in.txt", Body=b"hello")
    result = run_step("bash", "-c", f"aws s3 cp {scratch}/in.txt - ; echo done")
    assert result.state == "COMPLETED"
    cluster = emr.describe_cluster(ClusterId=result.cluster_id)["Cluster"]
    print("CLUSTER", json.dumps(cluster, default=str))
    assert isolated_emr.backend == "emr"
    assert isolated_emr.endpoint_url is None
    assert scratch.uri.startswith(f"s3://amazon-scratch/tests/{isolated_emr.run_id}/scratch/")

def test_output_comes_from_s3(run_step):
    assert run_step("bash", "-c", "echo to be read").stdout == "to be read\\n"
"""

HOOK = """
def pytest_isolated_emr_run_job_flow(request):
    request["EbsRootVolumeSize"] = 50
"""

#: Collected after those that need a cluster. Bounded, as what it waits for may never come.
COLLECTED_LATER = """
import os, select
from pathlib import Path
import boto3

run_id = Path(os.environ["ISOLATED_EMR_SESSION"].partition(":")[2]).name
pages = boto3.client("emr").get_paginator("list_clusters")
for _ in range(200):
    if any(run_id in cluster["Name"] for page in pages.paginate() for cluster in page["Clusters"]): break
    select.select([], [], [], 0.1)
else:
    raise AssertionError("no cluster is asked for while tests are collected")

def test_nothing(): pass
"""


def as_any_runs(request: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Return a RunJobFlow request without what differs from run to run."""
    same: dict[str, Any] = json.loads(json.dumps(request).replace(run_id, "RUN-ID"))
    same["Tags"] = {
        tag["Key"]: tag["Value"] for tag in same["Tags"] if tag["Key"] not in (tags.EXPIRY, tags.OWNER)
    }
    return same


def test_steps_run_on_a_cluster_of_the_runs_own(project: Path, run_pytest: Run, amazon, bystander):
    """And it is the one of the dry run, asked for as soon as a test that needs it is collected."""
    (project / "conftest.py").write_text(HOOK)
    (project / "test_it.py").write_text(STEPS)
    (project / "test_later.py").write_text(COLLECTED_LATER)
    arguments = (*ON_AMAZON, "--isolated-emr-release=emr-7.10.0", "--isolated-emr-idle-timeout=7")
    with AwsProxy(amazon.variables["AWS_ENDPOINT_URL"]) as proxy:
        finished = run_pytest(*arguments, "-s", AWS_ENDPOINT_URL=proxy.url)
    finished.assert_passed(3)
    run_id = run_id_of(finished)
    [sent] = proxy.calls("RunJobFlow")
    assert sent.call.parameters["EbsRootVolumeSize"] == 50
    dry = json.loads(run_pytest(*arguments, "--isolated-emr-dry-run").output)
    dry_run_id = tags.run_id_of(dry["Name"])
    assert dry_run_id is not None
    assert as_any_runs(dict(sent.call.parameters), run_id) == as_any_runs(dry, dry_run_id)
    cluster = json.loads(re.search("CLUSTER (.*)", finished.output)[1])  # type: ignore[index]
    assert cluster["Name"] == tags.name_of(run_id)
    assert tags.values_of(cluster["Tags"])[tags.RUN_ID] == run_id
    assert cluster["ReleaseLabel"] == "emr-7.10.0"
    emr = amazon.client("emr")
    actions = emr.list_bootstrap_actions(ClusterId=cluster["Id"])["BootstrapActions"]
    assert actions[0]["Name"] == lifetime.NAME
    policy = emr.get_auto_termination_policy(ClusterId=cluster["Id"])["AutoTerminationPolicy"]
    assert policy == {"IdleTimeout": 420}
    assert f"cluster {cluster['Id']} cost 0." in finished.output
    assert "hours of m5.xlarge" in finished.output
    assert len(amazon.clusters_of(run_id)) == 1
    assert amazon.things_of(run_id) == []
    bystander()


SPARK = """
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
from jobs.double import double

def test_a_users_own_session():
    session = SparkSession.builder.appName("theirs").getOrCreate()
    assert session.range(3).selectExpr("sum(id)").first()[0] == 3

def test_functions_of_the_suite_reach_the_workers(spark):
    rows = spark.range(3).select(udf(double, "long")("id").alias("twice")).collect()
    assert [row.twice for row in rows] == [0, 2, 4]

def test_files_that_are_asked_for_reach_the_workers(spark):
    def seven(_row):
        import far_away
        return far_away.SEVEN
    assert spark.range(1).select(udf(seven, "long")("id")).first()[0] == 7

@pytest.mark.parametrize("time", [1, 2])
def test_each_test_has_a_fresh_session(spark, time):
    assert spark.catalog.listTables() == []
    assert spark.conf.get("spark.sql.shuffle.partitions") != "123"
    spark.conf.set("spark.sql.shuffle.partitions", "123")
    spark.range(3).write.saveAsTable("t")
    spark.range(3).createOrReplaceTempView("v")

def test_scratch(spark, scratch, s3):
    spark.range(4).write.parquet(scratch.uri)
    assert s3.list_objects_v2(Bucket=scratch.bucket, Prefix=scratch.prefix + "/")["KeyCount"] > 1
    assert spark.read.parquet(scratch.uri).count() == 4
"""

if HAS_SPARK:

    @pytest.mark.parametrize(
        "workers", [pytest.param((), marks=pytest.mark.thorough), ("-n", "2")], ids=["alone", "xdist"]
    )
    def test_spark_on_the_cluster(project: Path, tmp_path, run_pytest: Run, amazon, bystander, workers):
        (tmp_path / "far_away.py").write_text("SEVEN = 7\n")
        with (project / "pytest.ini").open("a") as ini:
            ini.write(f"pythonpath = src\nisolated_emr_pyfiles = {tmp_path / 'far_away.py'}\n")
        (project / "src" / "jobs").mkdir(parents=True)
        (project / "src" / "jobs" / "double.py").write_text("def double(x):\n    return 2 * x\n")
        (project / "test_it.py").write_text(SPARK)
        finished = run_pytest(*ON_AMAZON, "--isolated-emr-idle-timeout=7", *workers)
        finished.assert_passed(6)
        run_id = run_id_of(finished)
        # Both workers' tests were on one cluster.
        [cluster] = amazon.clusters_of(run_id)
        sessions = amazon.client("emr").list_sessions(ClusterId=cluster["Id"])["Sessions"]
        assert {each["SessionIdleTimeoutInMinutes"] for each in sessions} == {7}
        assert amazon.things_of(run_id) == []
        bystander()

    def test_runs_at_the_same_moment_share_nothing(project, tmp_path, start_pytest: Start, amazon, bystander):
        (project / "test_it.py").write_text(
            "import json, os\n"
            "def test_it(isolated_emr, spark, scratch, emr_cluster):\n"
            "    spark.createDataFrame([(isolated_emr.run_id,)], ['owner']).write.saveAsTable('shared')\n"
            "    assert spark.table('shared').first().owner == isolated_emr.run_id\n"
            "    facts = {'run': isolated_emr.run_id, 'cluster': emr_cluster, 'scratch': scratch.uri,\n"
            "             'remote': os.environ['SPARK_REMOTE']}\n"
            "    print('FACTS', json.dumps(facts))\n"
        )
        ended = [Finished(process) for process in [start_pytest(*ON_AMAZON, "-s") for _ in range(2)]]
        facts = []
        for finished in ended:
            finished.assert_passed(1)
            facts.append(json.loads(re.search("FACTS (.*)", finished.output)[1]))  # type: ignore[index]
            assert amazon.things_of(run_id_of(finished)) == []
        for what in facts[0]:
            assert facts[0][what] != facts[1][what]
        bystander()


NO_SESSIONS = """
from pyspark.sql import SparkSession

def test_spark(spark): pass

def test_own():
    SparkSession.builder.getOrCreate()

def test_step(run_step):
    assert run_step("true").state == "COMPLETED"
"""


@pytest.mark.spark
def test_a_release_without_sessions_says_what_there_is(project, run_pytest, amazon):
    (project / "test_it.py").write_text(NO_SESSIONS)
    finished = run_pytest(*ON_AMAZON, "--isolated-emr-release=emr-7.10.0")
    assert "1 passed" in finished.output, finished.output
    assert finished.output.count("IE611") >= 2, finished.output
    assert "emr-spark-8" in finished.output
    assert "on the backend local or docker" in finished.output


@pytest.mark.parametrize(
    ("suite", "arguments", "passed"),
    [
        ("def test_it(): pass\n", (), 1),
        ("def test_it(run_step): assert 0\ndef test_other(scratch, s3): pass\n", ("-k", "other"), 1),
    ],
    ids=["none needs it", "those that need it are deselected"],
)
def test_a_cluster_that_no_test_needs_is_not_launched(project, run_pytest, amazon, suite, arguments, passed):
    (project / "test_it.py").write_text(suite)
    finished = run_pytest(*ON_AMAZON, *arguments)
    finished.assert_passed(passed) if not arguments else None
    assert f"{passed} passed" in finished.output, finished.output
    run_id = run_id_of(finished)
    assert amazon.clusters_of(run_id) == []
    assert amazon.things_of(run_id) == []


def test_a_cluster_starts_at_once_where_that_is_asked_for(project, run_pytest, amazon):
    (project / "test_it.py").write_text("def test_it(): pass\n")
    finished = run_pytest(*ON_AMAZON, "--isolated-emr-launch=at-once")
    finished.assert_passed(1)
    assert len(amazon.clusters_of(run_id_of(finished))) == 1
    assert amazon.things_of(run_id_of(finished)) == []


def test_collecting_alone_launches_nothing(project, run_pytest, amazon):
    (project / "test_it.py").write_text("def test_it(emr_cluster): pass\n")
    finished = run_pytest(*ON_AMAZON, "--collect-only")
    assert finished.code == 0, finished.output
    assert amazon.clusters_of(run_id_of(finished)) == []
    assert amazon.things_of(run_id_of(finished)) == []


def test_failed_tests_keep_scratch_and_logs(project, run_pytest, amazon, home):
    (project / "test_it.py").write_text(
        "def test_it(run_step, scratch, s3):\n"
        "    s3.put_object(Bucket=scratch.bucket, Key=f'{scratch.prefix}/a/b.txt', Body=b'mine')\n"
        "    run_step('bash', '-c', 'echo what went wrong >&2; exit 3')\n"
    )
    finished = run_pytest(*ON_AMAZON)
    assert finished.code == 1, finished.output
    assert "IE401" in finished.output
    assert "what went wrong" in finished.output
    run_id = run_id_of(finished)
    [session] = (home / "sessions").iterdir()
    [kept] = session.glob("kept/main/*/s3/a/b.txt")
    assert kept.read_text() == "mine"
    [stderr] = session.glob("kept/clusters/j-*/steps/s-*/stderr*")
    assert str(stderr.parents[2]) in finished.output
    assert amazon.things_of(run_id) == []


def test_tests_are_limited_to_the_run_where_there_is_a_role(project, run_pytest, amazon):
    (project / "test_it.py").write_text(
        "import boto3, os, subprocess, sys\n"
        "def test_it(isolated_emr, emr_cluster, s3, scratch):\n"
        "    mine = boto3.client('sts').get_caller_identity()['Arn']\n"
        "    assert mine == f'arn:aws:sts::123456789012:assumed-role/isolated-emr-tests/{isolated_emr.run_id}'\n"
        "    code = \"import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])\"\n"
        "    there = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)\n"
        "    assert there.stdout.strip() == mine\n"
        "    assert 'AWS_ACCESS_KEY_ID' not in os.environ\n"
        "    s3.put_object(Bucket=scratch.bucket, Key=f'{scratch.prefix}/x', Body=b'x')\n"
    )
    finished = run_pytest(*ON_AMAZON, f"--isolated-emr-role-arn={ROLE}")
    finished.assert_passed(1)
    assert "your own AWS credentials" not in finished.output
    assert amazon.things_of(run_id_of(finished)) == []


def test_without_a_role_the_header_says_so(project, run_pytest):
    (project / "test_it.py").write_text("def test_it(): pass\n")
    assert "tests have your own AWS credentials" in run_pytest(*ON_AMAZON).output


def test_a_tests_own_cluster_goes_with_the_run(project, run_pytest, amazon):
    (project / "test_it.py").write_text(
        "def test_it(isolated_emr, emr_cluster, make_cluster, run_step):\n"
        "    other = make_cluster(Name='mine')\n"
        "    assert other != emr_cluster\n"
        "    assert run_step('true', cluster=other).state == 'COMPLETED'\n"
        "def test_left(isolated_emr):\n"
        "    # What code under test may do with the run's tag and name.\n"
        "    run = isolated_emr.run_id\n"
        "    place = f's3://amazon-scratch/tests/{run}'\n"
        "    isolated_emr.client('emr').run_job_flow(\n"
        "        Name=f'isolated-emr {run} left', ReleaseLabel='emr-7.10.0', JobFlowRole='EMR_EC2_DefaultRole',\n"
        "        ServiceRole='EMR_DefaultRole',\n"
        "        Instances={'MasterInstanceType': 'm5.xlarge', 'InstanceCount': 1, 'KeepJobFlowAliveWhenNoSteps': True},\n"
        "        Tags=[{'Key': 'isolated-emr-run-id', 'Value': run}, {'Key': 'isolated-emr-place', 'Value': place}])\n"
    )
    finished = run_pytest(*ON_AMAZON, "--isolated-emr-release=emr-7.10.0")
    finished.assert_passed(2)
    run_id = run_id_of(finished)
    assert len(amazon.clusters_of(run_id)) == 3
    assert amazon.things_of(run_id) == []


def test_one_slot_is_one_run_at_a_time(project, start_pytest: Start, amazon, tmp_path):
    (project / "test_it.py").write_text(
        "import os\n"
        "def test_it(emr_cluster):\n"
        "    with open(os.environ['TOLD'], 'w') as told: told.write('there')\n"
        "    open(os.environ['GO']).read()\n"
    )
    pipes = {name: tmp_path / name for name in ("told", "go")}
    for pipe in pipes.values():
        subprocess.run(["mkfifo", str(pipe)], check=True)
    common = (
        *ON_AMAZON[:2],
        f"--isolated-emr-scratch=s3://{BUCKET}/one-slot",
        ON_AMAZON[3],
        "--isolated-emr-max-sessions=1",
    )
    first = start_pytest(*common, TOLD=str(pipes["told"]), GO=str(pipes["go"]))
    assert pipes["told"].read_text() == "there"
    refused = Finished(start_pytest(*common, "--isolated-emr-wait=0"))
    assert refused.code == 75, refused.output
    assert "IE610" in refused.output
    assert "1 of 1 sessions run on s3://amazon-scratch/one-slot" in refused.output
    (tmp_path / "told-2").write_text("")
    second = start_pytest(*common, TOLD=str(tmp_path / "told-2"), GO="/dev/null")
    assert second.stdout is not None
    seen = ""
    while "a free slot" not in seen:
        line = second.stdout.readline()
        assert line, seen
        seen += line
    pipes["go"].write_text("go")
    Finished(first).assert_passed(1)
    Finished(second).assert_passed(1)


def test_the_keepers_policy_has_the_calls_that_runs_and_sweeps_make(
    project, start_pytest: Start, run_pytest, amazon, home
):
    """What a test itself asks AWS for is not among them: these go past what listens, but for what the keeper does for them."""
    uses = "emr_cluster, spark" if HAS_SPARK else "emr_cluster"
    (project / "test_it.py").write_text(
        "import boto3, json, os, signal\n"
        f"def test_it(isolated_emr, {uses}):\n"
        "    past = {service: boto3.client(service, endpoint_url=os.environ['PAST']) for service in ('s3', 'emr')}\n"
        "    left = {'Bucket': isolated_emr.scratch.bucket, 'Key': f'{isolated_emr.scratch.prefix}/left'}\n"
        "    past['s3'].create_multipart_upload(**left)\n"
        "    past['emr'].set_termination_protection(JobFlowIds=[emr_cluster], TerminationProtected=True)\n"
        "    if 'KILL' in os.environ:\n"
        "        directory = isolated_emr._session.directory\n"
        "        keeper = json.loads((directory / 'session.json').read_text())['keeper']['pid']\n"
        "        os.kill(keeper, signal.SIGKILL)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ec2 = amazon.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    network = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
    group = ec2.describe_security_groups(Filters=network)["SecurityGroups"][0]["GroupId"]
    key = ec2.create_key_pair(KeyName="of-the-policys-test")["KeyName"]
    with (project / "pytest.ini").open("a") as ini:
        ini.write(f"isolated_emr_security_groups = AdditionalMasterSecurityGroups = {group}\n")
    with_all = (
        *ON_AMAZON,
        f"--isolated-emr-role-arn={ROLE}",
        f"--isolated-emr-subnet={subnet['SubnetId']}",
        f"--isolated-emr-key-name={key}",
    )
    url = amazon.variables["AWS_ENDPOINT_URL"]
    with AwsProxy(url) as proxy:
        through = {**amazon.variables, "AWS_ENDPOINT_URL": proxy.url, "ISOLATED_EMR_HOME": str(home)}
        run_pytest(*with_all, AWS_ENDPOINT_URL=proxy.url, PAST=url).assert_passed(1)
        Finished(start_pytest(*with_all, AWS_ENDPOINT_URL=proxy.url, PAST=url, KILL="1"))
        sweep = [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--delete"]
        for scratch in ((), ("--scratch", f"s3://{BUCKET}/{PREFIX}")):
            subprocess.run([*sweep, *scratch], env=through, check=True, capture_output=True)
        # A run ends a session of Spark's only where a test's marker wants another one; the campaign's do.
        unused = [
            "TerminateSession",
            *(() if HAS_SPARK else ("StartSession", "GetSession", "GetSessionEndpoint")),
        ]
        made = ((served.call.service, served.call.operation) for served in proxy.calls())
        check_calls(made, unused=unused)


def test_calls_for_the_scratch_say_whose_its_bucket_has_to_be(project, run_pytest, amazon):
    (project / "test_it.py").write_text(
        "def test_it(run_step, scratch):\n"
        "    assert run_step('bash', '-c', 'echo x').stdout == 'x\\n'\n"
        "    assert 0, 'the scratch and logs are kept'\n"
    )
    with AwsProxy(amazon.variables["AWS_ENDPOINT_URL"]) as proxy:
        finished = run_pytest(*ON_AMAZON, AWS_ENDPOINT_URL=proxy.url)
    assert "1 failed" in finished.output, finished.output
    # What says so is on the wire of each call, but for those of the cluster, which go past the proxy.
    of_s3 = [each.call for each in proxy.calls() if each.call.service == "s3"]
    without = [call for call in of_s3 if "ExpectedBucketOwner" not in call.parameters]
    assert without == []
    assert proxy.calls("GetObject")
