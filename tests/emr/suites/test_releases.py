"""Releases, through boto3 alone."""

import boto3
import pytest
from botocore.exceptions import ClientError

emr = boto3.client("emr")
ROLES = {"JobFlowRole": "EMR_EC2_DefaultRole", "ServiceRole": "EMR_DefaultRole"}


def run(**request):
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    return emr.run_job_flow(**{"Name": "n", "Instances": instances, **ROLES, **request})["JobFlowId"]


def message(operation, **request):
    with pytest.raises(ClientError) as caught:
        operation(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


def labels(**request):
    found, more = [], {}
    while True:
        page = emr.list_release_labels(**request, **more)
        found += page["ReleaseLabels"]
        if "NextToken" not in page:
            return found
        more = {"NextToken": page["NextToken"]}


@pytest.mark.parametrize("label", ["emr-7.10.0", "emr-6.15.0", "emr-spark-8.0.0", "emr-5.36.0", "emr-5.30.1"])
def test_labels_that_amazon_gave_out(label):
    made = run(ReleaseLabel=label)
    assert emr.describe_cluster(ClusterId=made)["Cluster"]["ReleaseLabel"] == label
    emr.terminate_job_flows(JobFlowIds=[made])


@pytest.mark.parametrize("label", ["emr-7.99.0", "7.10.0", "emr-5.99.0", "latest"])
def test_labels_that_amazon_never_gave_out(label):
    said = message(run, ReleaseLabel=label)
    assert said == f"The supplied release label is invalid: {label}."


def test_a_cluster_has_one_release():
    assert message(run).startswith("Must specify exactly one of the following: release label")
    said = message(run, ReleaseLabel="emr-7.10.0", AmiVersion="3.11.0")
    assert said.startswith("Only one AMI version and release label may be specified.")


def test_list_release_labels():
    everything = labels()
    assert len(everything) == len(set(everything)) > 100
    assert labels(MaxResults=7) == everything
    assert len(emr.list_release_labels(MaxResults=7)["ReleaseLabels"]) == 7
    assert set(labels(Filters={"Prefix": "emr-6.1"})) >= {"emr-6.10.0", "emr-6.15.0"}
    assert all(label.startswith("emr-6.1") for label in labels(Filters={"Prefix": "emr-6.1"}))
    assert labels(Filters={"Application": "spark@3.5.5"}) == ["emr-7.10.0", "emr-7.9.0"]
    assert labels(Filters={"Application": "Hadoop@3.4.1-amzn-2"}) == ["emr-7.10.0"]
    assert labels(Filters={"Application": "spark@9"}) == []


def test_describe_release_label():
    described = emr.describe_release_label(ReleaseLabel="emr-7.10.0")
    assert described["ReleaseLabel"] == "emr-7.10.0"
    versions = {application["Name"]: application["Version"] for application in described["Applications"]}
    assert (versions["Spark"], versions["Hadoop"]) == ("3.5.5-amzn-1", "3.4.1-amzn-2")
    assert emr.describe_release_label(ReleaseLabel="emr-5.36.0")["Applications"] == []
    assert "invalid: emr-0.0.0" in message(emr.describe_release_label, ReleaseLabel="emr-0.0.0")
    page = emr.describe_release_label(ReleaseLabel="emr-7.10.0", MaxResults=2)
    rest = emr.describe_release_label(ReleaseLabel="emr-7.10.0", NextToken=page["NextToken"])
    assert page["Applications"] + rest["Applications"] == described["Applications"]


def test_applications_of_a_cluster_have_versions():
    made = run(ReleaseLabel="emr-7.10.0", Applications=[{"Name": "spark"}, {"Name": "Mine"}])
    assert emr.describe_cluster(ClusterId=made)["Cluster"]["Applications"] == [
        {"Name": "Spark", "Version": "3.5.5-amzn-1"},
        {"Name": "Mine"},
    ]
    emr.terminate_job_flows(JobFlowIds=[made])


def test_supported_instance_types():
    page = emr.list_supported_instance_types(ReleaseLabel="emr-7.10.0")
    kinds = page["SupportedInstanceTypes"]
    while "Marker" in page:
        page = emr.list_supported_instance_types(ReleaseLabel="emr-7.10.0", Marker=page["Marker"])
        kinds += page["SupportedInstanceTypes"]
    found = {kind["Type"]: kind for kind in kinds}
    assert (found["m5.xlarge"]["VCPU"], found["m5.xlarge"]["MemoryGB"]) == (4, 16.0)
    assert len(found) > 50
    assert "invalid: emr-0" in message(emr.list_supported_instance_types, ReleaseLabel="emr-0")


def test_a_release_with_another_spark_is_said_in_the_controller_log(make_cluster, run_step):
    made = make_cluster(ReleaseLabel="emr-6.15.0")
    said = (run_step("true", cluster=made).log / "controller").read_text()
    assert "emr-6.15.0 has Spark 3.4.1; this is Spark " in said


def test_the_release_of_the_fixtures_clusters(emr_cluster, request):
    described = emr.describe_cluster(ClusterId=emr_cluster)["Cluster"]
    assert described["ReleaseLabel"] == request.config.getoption("isolated_emr_release")
