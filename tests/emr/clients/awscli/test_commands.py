"""``aws emr …`` and ``aws s3 …``, command by command."""

import gzip
import json
import os
import subprocess
import time
import uuid

import pytest

ENV = {**os.environ, "AWS_PAGER": ""}


def aws(*arguments, fails=False):
    done = subprocess.run(["aws", *arguments], capture_output=True, text=True, env=ENV)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    if fails:
        return done.stderr
    try:
        return json.loads(done.stdout)
    except ValueError:
        return done.stdout


def emr(command, *arguments, **options):
    return aws("emr", command, *arguments, **options)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    name = f"team-{uuid.uuid4()}"
    assert f"make_bucket: {name}" in aws("s3", "mb", f"s3://{name}")
    code = tmp_path_factory.mktemp("code")
    (code / "boot.sh").write_text('#!/bin/bash\necho "booted with $*"\n')
    (code / "hello.sh").write_text('#!/bin/bash\necho "hello $1"\n')
    aws("s3", "cp", "--recursive", str(code), f"s3://{name}/code/")
    return name


@pytest.fixture(scope="module")
def cluster(bucket, tmp_path_factory):
    """A cluster with everything that the shorthand options of create-cluster can say."""
    configurations = tmp_path_factory.mktemp("conf") / "configurations.json"
    configurations.write_text(
        json.dumps(
            [
                {"Classification": "spark-defaults", "Properties": {"spark.executor.memory": "4g"}},
                {
                    "Classification": "spark-env",
                    "Configurations": [{"Classification": "export", "Properties": {"GREETING": "moin"}}],
                },
            ]
        )
    )
    made = emr(
        "create-cluster",
        *("--name", "shorthand", "--release-label", "emr-7.10.0", "--use-default-roles"),
        *("--applications", "Name=Spark", "Name=Hadoop"),
        *(
            "--ec2-attributes",
            "KeyName=team,SubnetId=subnet-0a1b2c3d,AdditionalMasterSecurityGroups=[sg-1,sg-2]",
        ),
        "--instance-groups",
        "InstanceGroupType=MASTER,InstanceCount=1,InstanceType=m5.xlarge,Name=primary",
        "InstanceGroupType=CORE,InstanceCount=2,InstanceType=m5.2xlarge,BidPrice=OnDemandPrice,"
        "EbsConfiguration={EbsBlockDeviceConfigs=[{VolumeSpecification={VolumeType=gp3,SizeInGB=64}}]}",
        *("--bootstrap-actions", f"Path=s3://{bucket}/code/boot.sh,Name=boot,Args=[one,two]"),
        *("--configurations", configurations.as_uri()),
        *("--log-uri", f"s3://{bucket}/logs/"),
        *("--tags", "team=data", "purpose=nightly totals"),
        *("--step-concurrency-level", "1", "--ebs-root-volume-size", "32", "--enable-debugging"),
        *("--scale-down-behavior", "TERMINATE_AT_TASK_COMPLETION", "--no-auto-terminate"),
        *("--auto-termination-policy", "IdleTimeout=3600"),
        "--steps",
        "Type=CUSTOM_JAR,Name=greet,ActionOnFailure=CONTINUE,Jar=command-runner.jar,"
        'Args=[bash,-c,"echo $GREETING from $USER"]',
    )
    assert made["ClusterArn"].endswith(f":cluster/{made['ClusterId']}")
    until_state(made["ClusterId"], "RUNNING", "WAITING")
    emr("wait", "cluster-running", "--cluster-id", made["ClusterId"])
    yield made["ClusterId"]
    emr("terminate-clusters", "--cluster-ids", made["ClusterId"])


def until_state(cluster, *states):
    deadline = time.monotonic() + 120
    while (
        state := emr("describe-cluster", "--cluster-id", cluster)["Cluster"]["Status"]["State"]
    ) not in states:
        assert time.monotonic() < deadline, state
    return state


def until_ended(cluster, step):
    deadline = time.monotonic() + 120
    described = ("describe-step", "--cluster-id", cluster, "--step-id", step)
    while (state := emr(*described)["Step"]["Status"]["State"]) in ("PENDING", "RUNNING", "CANCEL_PENDING"):
        assert time.monotonic() < deadline, state
    return state


def steps_of(cluster, *arguments):
    return emr("list-steps", "--cluster-id", cluster, *arguments)["Steps"]


def add_step(cluster, *steps):
    return emr("add-steps", "--cluster-id", cluster, "--steps", *steps)["StepIds"]


def log(bucket, cluster, step, name):
    local = f"{os.environ['TMPDIR']}/{step}-{name}.gz"
    aws("s3", "cp", f"s3://{bucket}/logs/{cluster}/steps/{step}/{name}.gz", local)
    with gzip.open(local, "rt") as file:
        return file.read()


@pytest.fixture(autouse=True)
def own_tmpdir(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_describe_cluster(cluster, bucket):
    described = emr("describe-cluster", "--cluster-id", cluster)["Cluster"]
    assert (described["Name"], described["LogUri"]) == ("shorthand", f"s3n://{bucket}/logs/")
    assert (described["ServiceRole"], described["EbsRootVolumeSize"]) == ("EMR_DefaultRole", 32)
    assert described["Ec2InstanceAttributes"]["IamInstanceProfile"] == "EMR_EC2_DefaultRole"
    assert described["Ec2InstanceAttributes"]["AdditionalMasterSecurityGroups"] == ["sg-1", "sg-2"]
    assert {tag["Key"]: tag["Value"] for tag in described["Tags"]} == {
        "team": "data",
        "purpose": "nightly totals",
    }
    assert described["BootstrapActions"] == [
        {"Name": "boot", "ScriptPath": f"s3://{bucket}/code/boot.sh", "Args": ["one", "two"]}
    ]
    groups = {group["InstanceGroupType"]: group for group in described["InstanceGroups"]}
    assert {kind: group["RequestedInstanceCount"] for kind, group in groups.items()} == {
        "MASTER": 1,
        "CORE": 2,
    }
    assert groups["CORE"]["InstanceType"] == "m5.2xlarge"
    assert [c["Classification"] for c in described["Configurations"]] == ["spark-defaults", "spark-env"]


def test_list_clusters(cluster):
    active = emr("list-clusters", "--active", "--query", "Clusters[].Id")
    assert cluster in active
    assert emr("list-clusters", "--failed", "--query", "Clusters[].Id") == []
    assert cluster not in emr("list-clusters", "--terminated", "--query", "Clusters[].Id")
    waiting = emr("list-clusters", "--cluster-states", "WAITING", "RUNNING", "--query", "Clusters[].Id")
    assert cluster in waiting
    assert "shorthand" in emr("list-clusters", "--active", "--output", "table")
    assert emr("list-clusters", "--created-after", "2100-01-01T00:00:00")["Clusters"] == []


def test_list_instances(cluster):
    assert len(emr("list-instances", "--cluster-id", cluster)["Instances"]) == 3
    core = emr("list-instances", "--cluster-id", cluster, "--instance-group-types", "CORE")["Instances"]
    assert {instance["InstanceType"] for instance in core} == {"m5.2xlarge"}
    assert (
        emr("list-instances", "--cluster-id", cluster, "--instance-states", "TERMINATED")["Instances"] == []
    )


def test_steps_of_create_cluster(cluster, bucket):
    greet = next(step for step in steps_of(cluster) if step["Name"] == "greet")
    assert until_ended(cluster, greet["Id"]) == "COMPLETED"
    assert log(bucket, cluster, greet["Id"], "stdout") == "moin from hadoop\n"
    debugging = next(step for step in steps_of(cluster) if step["Name"] == "Setup Hadoop Debugging")
    assert debugging["Status"]["State"] == "COMPLETED"


def test_bootstrap_log(cluster, bucket):
    listed = aws("s3", "ls", "--recursive", f"s3://{bucket}/logs/{cluster}/node/")
    assert "/bootstrap-actions/1/stdout.gz" in listed


def test_add_steps_of_all_ways(cluster, bucket, tmp_path):
    from_file = tmp_path / "steps.json"
    from_file.write_text(
        json.dumps(
            [
                {
                    "Type": "CUSTOM_JAR",
                    "Name": "from a file",
                    "ActionOnFailure": "CONTINUE",
                    "Jar": "command-runner.jar",
                    "Args": ["bash", "-c", "echo 'a, b'; exit 4"],
                }
            ]
        )
    )
    (script,) = add_step(
        cluster,
        "Type=CUSTOM_JAR,Name=script,Jar=s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar,"
        f"ActionOnFailure=CONTINUE,Args=[s3://{bucket}/code/hello.sh,world]",
    )
    (failing,) = add_step(cluster, from_file.as_uri())
    until_ended(cluster, failing)
    emr("wait", "step-complete", "--cluster-id", cluster, "--step-id", script)
    assert log(bucket, cluster, script, "stdout") == "hello world\n"
    said = emr("wait", "step-complete", "--cluster-id", cluster, "--step-id", failing, fails=True)
    assert "Waiter StepComplete failed: Waiter encountered a terminal failure state" in said
    status = emr("describe-step", "--cluster-id", cluster, "--step-id", failing)["Step"]["Status"]
    assert status["State"] == "FAILED"
    assert status["FailureDetails"]["LogFile"] == f"s3://{bucket}/logs/{cluster}/steps/{failing}/stderr.gz"
    failed = steps_of(cluster, "--step-states", "FAILED")
    assert [step["Id"] for step in failed] == [failing]
    assert [step["Id"] for step in steps_of(cluster, "--step-ids", script)] == [script]


def test_cancel_steps(cluster):
    first, second = add_step(
        cluster,
        "Type=CUSTOM_JAR,Name=long,Jar=command-runner.jar,ActionOnFailure=CONTINUE,Args=[sleep,1000]",
        "Type=CUSTOM_JAR,Name=next,Jar=command-runner.jar,ActionOnFailure=CONTINUE,Args=[true]",
    )
    cancelled = emr(
        "cancel-steps",
        *("--cluster-id", cluster, "--step-ids", second, first),
        *("--step-cancellation-option", "SEND_INTERRUPT"),
    )
    assert {info["StepId"]: info["Status"] for info in cancelled["CancelStepsInfoList"]} == {
        first: "SUBMITTED",
        second: "SUBMITTED",
    }
    assert until_ended(cluster, first) == "CANCELLED"
    emr("wait", "step-complete", "--cluster-id", cluster, "--step-id", first, fails=True)
    assert {step["Status"]["State"] for step in steps_of(cluster, "--step-ids", first, second)} == {
        "CANCELLED"
    }


def test_tags(cluster):
    emr("add-tags", "--resource-id", cluster, "--tags", "owner=me", "temporary")
    emr("remove-tags", "--resource-id", cluster, "--tag-keys", "owner")
    tags = emr("describe-cluster", "--cluster-id", cluster, "--query", "Cluster.Tags[].Key")
    assert "temporary" in tags
    assert "owner" not in tags


def test_attributes(cluster):
    def attribute(name):
        return emr("describe-cluster", "--cluster-id", cluster, "--query", f"Cluster.{name}")

    emr(
        "modify-cluster-attributes",
        "--cluster-id",
        cluster,
        "--termination-protected",
        "--no-visible-to-all-users",
    )
    assert attribute("[TerminationProtected, VisibleToAllUsers]") == [True, False]
    refused = emr("terminate-clusters", "--cluster-ids", cluster, fails=True)
    assert "(ValidationException) when calling the TerminateJobFlows operation" in refused
    emr(
        "modify-cluster-attributes",
        "--cluster-id",
        cluster,
        "--no-termination-protected",
        "--visible-to-all-users",
    )
    assert attribute("[TerminationProtected, VisibleToAllUsers]") == [False, True]
    level = emr("modify-cluster", "--cluster-id", cluster, "--step-concurrency-level", "5")
    assert level == {"StepConcurrencyLevel": 5}
    assert attribute("StepConcurrencyLevel") == 5


def test_policies(cluster):
    policy = emr("get-auto-termination-policy", "--cluster-id", cluster)
    assert policy == {"AutoTerminationPolicy": {"IdleTimeout": 3600}}
    emr("remove-auto-termination-policy", "--cluster-id", cluster)
    assert not emr("get-auto-termination-policy", "--cluster-id", cluster)
    limits = "UnitType=Instances,MinimumCapacityUnits=2,MaximumCapacityUnits=10"
    emr(
        "put-managed-scaling-policy",
        *("--cluster-id", cluster, "--managed-scaling-policy", f"ComputeLimits={{{limits}}}"),
    )
    limits = emr("get-managed-scaling-policy", "--cluster-id", cluster)["ManagedScalingPolicy"][
        "ComputeLimits"
    ]
    assert limits["MaximumCapacityUnits"] == 10
    emr("remove-managed-scaling-policy", "--cluster-id", cluster)


def test_a_cluster_of_steps_alone(bucket):
    made = emr(
        "create-cluster",
        *("--release-label", "emr-7.10.0", "--use-default-roles", "--auto-terminate"),
        *("--instance-type", "m5.xlarge", "--instance-count", "3"),
        "--steps",
        "Type=CUSTOM_JAR,Jar=command-runner.jar,ActionOnFailure=TERMINATE_CLUSTER,Args=[true]",
    )["ClusterId"]
    until_state(made, "TERMINATED", "TERMINATED_WITH_ERRORS")
    emr("wait", "cluster-terminated", "--cluster-id", made)
    described = emr("describe-cluster", "--cluster-id", made)["Cluster"]
    assert described["Status"]["StateChangeReason"]["Code"] == "ALL_STEPS_COMPLETED"
    assert described["AutoTerminate"] is True
    assert made in emr("list-clusters", "--terminated", "--query", "Clusters[].Id")


def test_a_cluster_that_fails(bucket):
    made = emr(
        "create-cluster",
        *("--release-label", "emr-7.10.0", "--use-default-roles", "--instance-type", "m5.xlarge"),
        *("--bootstrap-actions", f"Path=s3://{bucket}/code/no-such.sh"),
    )["ClusterId"]
    until_state(made, "TERMINATED_WITH_ERRORS")
    said = emr("wait", "cluster-running", "--cluster-id", made, fails=True)
    assert "Waiter ClusterRunning failed" in said
    emr("wait", "cluster-terminated", "--cluster-id", made, fails=True)
    assert made in emr("list-clusters", "--failed", "--query", "Clusters[].Id")


def test_instance_fleets(tmp_path):
    fleets = tmp_path / "fleets.json"
    fleets.write_text(
        json.dumps(
            [
                {
                    "InstanceFleetType": "MASTER",
                    "TargetOnDemandCapacity": 1,
                    "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}],
                },
                {
                    "InstanceFleetType": "CORE",
                    "TargetSpotCapacity": 4,
                    "InstanceTypeConfigs": [
                        {"InstanceType": "m5.xlarge", "WeightedCapacity": 1},
                        {"InstanceType": "m5.2xlarge", "WeightedCapacity": 2},
                    ],
                    "LaunchSpecifications": {
                        "SpotSpecification": {
                            "TimeoutDurationMinutes": 10,
                            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
                            "AllocationStrategy": "price-capacity-optimized",
                        }
                    },
                },
            ]
        )
    )
    made = emr(
        "create-cluster",
        *("--release-label", "emr-7.10.0", "--use-default-roles", "--instance-fleets", fleets.as_uri()),
        *("--ec2-attributes", "SubnetIds=[subnet-0a1b2c3d,subnet-1a2b3c4d]"),
    )["ClusterId"]
    until_state(made, "WAITING")
    described = emr("describe-cluster", "--cluster-id", made)["Cluster"]
    kinds = {fleet["InstanceFleetType"]: fleet["TargetSpotCapacity"] for fleet in described["InstanceFleets"]}
    assert kinds == {"MASTER": 0, "CORE": 4}
    assert len(emr("list-instance-fleets", "--cluster-id", made)["InstanceFleets"]) == 2
    emr("terminate-clusters", "--cluster-ids", made)


def test_releases():
    labels = emr("list-release-labels", "--query", "ReleaseLabels")
    assert "emr-7.10.0" in labels
    described = emr("describe-release-label", "--release-label", "emr-7.10.0")
    assert described["ReleaseLabel"] == "emr-7.10.0"
    refused = emr(
        "create-cluster",
        *("--release-label", "emr-7.999.0", "--use-default-roles", "--instance-type", "m5.xlarge"),
        fails=True,
    )
    assert "(ValidationException) when calling the RunJobFlow operation" in refused


def test_what_does_not_exist():
    for command in ("describe-cluster", "list-steps", "list-instances"):
        said = emr(command, "--cluster-id", "j-DOESNOTEXIST0", fails=True)
        assert "(InvalidRequestException)" in said
        assert "Cluster id 'j-DOESNOTEXIST0' is not valid." in said


def test_default_roles():
    # The principals are those of the address of Amazon's own EMR, which is only looked at.
    made = emr("create-default-roles", "--endpoint-url", "https://us-east-1.elasticmapreduce.amazonaws.com")
    assert [role["Role"]["RoleName"] for role in made] == [
        "EMR_EC2_DefaultRole",
        "EMR_DefaultRole",
        "EMR_AutoScaling_DefaultRole",
    ]
    attached = aws("iam", "list-attached-role-policies", "--role-name", "EMR_DefaultRole")
    assert [policy["PolicyName"] for policy in attached["AttachedPolicies"]] == ["AmazonElasticMapReduceRole"]
    # It leaves them in the configuration, where create-cluster finds them.
    made = emr("create-cluster", "--release-label", "emr-7.10.0", "--instance-type", "m5.xlarge")["ClusterId"]
    assert emr("describe-cluster", "--cluster-id", made)["Cluster"]["ServiceRole"] == "EMR_DefaultRole"
    emr("terminate-clusters", "--cluster-ids", made)


def test_s3(bucket, tmp_path):
    local = tmp_path / "local"
    (local / "deep").mkdir(parents=True)
    (local / "a.txt").write_text("a")
    (local / "deep" / "b.txt").write_text("bb")
    target = f"s3://{bucket}/sync"
    aws("s3", "sync", str(local), target)
    (local / "a.txt").unlink()
    (local / "c.txt").write_text("c")
    aws("s3", "sync", str(local), target, "--delete")
    listed = aws("s3", "ls", "--recursive", target + "/", "--summarize")
    assert [line.split()[-1] for line in listed.splitlines()[:2]] == ["sync/c.txt", "sync/deep/b.txt"]
    assert "Total Objects: 2" in listed
    aws("s3", "mv", f"{target}/c.txt", f"{target}/moved.txt")
    assert aws("s3", "cp", f"{target}/moved.txt", "-") == "c"
    aws("s3", "rm", "--recursive", target)
    assert aws("s3", "ls", target, fails=True) == ""
