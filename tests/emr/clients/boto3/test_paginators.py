"""All of boto3's paginators for EMR, over more than one page where a page has an end."""

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError

emr = boto3.client("emr")
PAGE = 50


def bash(script):
    return {
        "Name": "bash",
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]},
    }


def start(name="p", instances=None, **request):
    instances = instances or {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1}
    made = emr.run_job_flow(
        Name=name,
        ReleaseLabel="emr-7.10.0",
        Instances={**instances, "KeepJobFlowAliveWhenNoSteps": True},
        JobFlowRole="EMR_EC2_DefaultRole",
        ServiceRole="EMR_DefaultRole",
        **request,
    )
    return made["JobFlowId"]


def pages(operation, **arguments):
    return list(emr.get_paginator(operation).paginate(**arguments))


def items(operation, **arguments):
    (found,) = emr.get_paginator(operation).paginate(**arguments).build_full_result().values()
    return found


@pytest.fixture(scope="module")
def cluster():
    groups = [
        {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1},
        {"InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 60},
    ]
    return start(instances={"InstanceGroups": groups})


def test_these_are_all():
    described = botocore.session.get_session().get_paginator_model("emr")._paginator_config
    assert set(described) == {
        *(
            "ListBootstrapActions",
            "ListClusters",
            "ListInstanceFleets",
            "ListInstanceGroups",
            "ListInstances",
        ),
        *("ListNotebookExecutions", "ListSecurityConfigurations", "ListSessions", "ListSteps"),
        *("ListStudioSessionMappings", "ListStudios"),
    }


def test_clusters():
    made = {start(f"page-{number}") for number in range(PAGE + 5)}
    assert len(pages("list_clusters")) >= 2
    listed = [one["Id"] for one in items("list_clusters")]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))
    emr.terminate_job_flows(JobFlowIds=sorted(made)[:10])
    emr.terminate_job_flows(JobFlowIds=sorted(made)[10:])


def test_steps(cluster):
    added = []
    for _ in range(12):
        added += emr.add_job_flow_steps(JobFlowId=cluster, Steps=[bash("true")] * 10)["StepIds"]
    assert [len(page["Steps"]) for page in pages("list_steps", ClusterId=cluster)] == [50, 50, 20]
    assert [one["Id"] for one in items("list_steps", ClusterId=cluster)] == added[::-1]
    token = emr.get_paginator("list_steps").paginate(ClusterId=cluster, PaginationConfig={"MaxItems": 70})
    first = token.build_full_result()
    rest = emr.get_paginator("list_steps").paginate(
        ClusterId=cluster, PaginationConfig={"StartingToken": first["NextToken"]}
    )
    assert [one["Id"] for one in first["Steps"] + rest.build_full_result()["Steps"]] == added[::-1]


def test_bootstrap_actions():
    actions = [
        {"Name": f"boot-{number}", "ScriptBootstrapAction": {"Path": "s3://no-such-bucket/boot.sh"}}
        for number in range(16)
    ]
    made = start(BootstrapActions=actions)
    assert [one["Name"] for one in items("list_bootstrap_actions", ClusterId=made)] == [
        f"boot-{number}" for number in range(16)
    ]


def test_instances_and_groups(cluster):
    assert len(items("list_instance_groups", ClusterId=cluster)) == 2
    listed = items("list_instances", ClusterId=cluster)
    assert len(listed) == len({one["Id"] for one in listed}) == 61


def test_fleets():
    fleets = [
        {
            "InstanceFleetType": kind,
            "TargetOnDemandCapacity": 1,
            "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}],
        }
        for kind in ("MASTER", "CORE", "TASK")
    ]
    made = start(instances={"InstanceFleets": fleets})
    kinds = {one["InstanceFleetType"] for one in items("list_instance_fleets", ClusterId=made)}
    assert kinds == {"MASTER", "CORE", "TASK"}


def test_security_configurations():
    made = [f"secure-{number:02}" for number in range(PAGE + 3)]
    for name in made:
        emr.create_security_configuration(
            Name=name,
            SecurityConfiguration='{"EncryptionConfiguration": {"EnableInTransitEncryption": false, '
            '"EnableAtRestEncryption": false}}',
        )
    assert {one["Name"] for one in items("list_security_configurations")} >= set(made)


@pytest.mark.parametrize(
    "operation", ["list_studios", "list_studio_session_mappings", "list_notebook_executions"]
)
def test_what_no_local_cluster_has(operation):
    with pytest.raises(ClientError) as caught:
        pages(operation)
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
