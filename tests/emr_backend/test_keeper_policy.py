"""The policy of the keeper's own credentials: what its calls need, and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError

from pytest_isolated_emr.backends.emr import keeper_policy
from pytest_isolated_emr.backends.emr.keeper_policy import CALLS, Names, check_calls
from tests.aws.conftest import REGION, endpoint, start_endpoint  # noqa: F401

from .policy_evaluation import decide
from .recorded_calls import record_calls

PAGE = Path(__file__).parents[2] / "docs" / "emr-iam.md"
ACCOUNT = "123456789012"
NAMES = Names(ACCOUNT, "team-bucket", "ci/emr", "tests", "EMR_DefaultRole", "EMR_EC2_DefaultRole")
POLICY = keeper_policy.keeper_policy(NAMES)
BUCKET = "arn:aws:s3:::team-bucket"
OWN = {"s3:ResourceAccount": ACCOUNT}
CLUSTER = f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:cluster/j-1ABC"
TAGGED = {"aws:ResourceTag/isolated-emr-run-id": "20261123t211623-9f3c2a"}
WITH_TAG = {"aws:RequestTag/isolated-emr-run-id": "20261123t211623-9f3c2a"}


def test_the_page_is_what_the_table_says():
    page = PAGE.read_text(encoding="utf-8")
    assert keeper_policy.updated(page) == page, f"python -m {keeper_policy.__name__} {PAGE}"


@pytest.mark.parametrize("right", CALLS, ids=lambda right: f"{right.service}.{right.operation}")
def test_the_calls_are_boto3s(right):
    known = botocore.session.Session().get_service_model(right.service).operation_names
    assert right.operation in known


def test_it_fits_into_a_managed_policy():
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    assert len(POLICY) <= 6144
    json.loads(POLICY)


ALLOWED = [
    ("s3:PutObject", f"{BUCKET}/ci/emr/run/lease.json", OWN),
    ("s3:DeleteObjectVersion", f"{BUCKET}/ci/emr/run/scratch/x", OWN),
    ("s3:ListBucketVersions", BUCKET, OWN | {"s3:prefix": "ci/emr/run/"}),
    ("s3:ListBucketMultipartUploads", BUCKET, OWN),
    ("s3:GetBucketLocation", BUCKET, OWN),
    ("elasticmapreduce:ListClusters", "*", {}),
    ("elasticmapreduce:RunJobFlow", "*", WITH_TAG),
    ("elasticmapreduce:AddTags", CLUSTER.replace("j-1ABC", "*"), WITH_TAG),
    ("elasticmapreduce:TerminateJobFlows", CLUSTER, TAGGED),
    ("elasticmapreduce:StartSession", CLUSTER, TAGGED),
    ("elasticmapreduce:GetSessionEndpoint", f"{CLUSTER}/session/is-1", {}),
    (
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/EMR_DefaultRole",
        {"iam:PassedToService": "elasticmapreduce.amazonaws.com"},
    ),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/tests", {}),
]
DENIED = [
    ("s3:PutObject", f"{BUCKET}/production/x", OWN),
    ("s3:DeleteObject", f"{BUCKET}/ci/emr2/x", OWN),
    ("s3:DeleteObject", "arn:aws:s3:::other/ci/emr/run/x", OWN),
    ("s3:DeleteObject", f"{BUCKET}/ci/emr/run/x", {"s3:ResourceAccount": "210987654321"}),
    ("s3:ListBucketVersions", BUCKET, OWN | {"s3:prefix": "production/"}),
    ("s3:ListBucket", BUCKET, OWN),
    ("s3:DeleteBucket", BUCKET, OWN),
    ("elasticmapreduce:RunJobFlow", "*", {}),
    ("elasticmapreduce:AddTags", CLUSTER, WITH_TAG),
    ("elasticmapreduce:TerminateJobFlows", CLUSTER, {}),
    ("elasticmapreduce:AddJobFlowSteps", CLUSTER, TAGGED),
    (
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/EMR_DefaultRole",
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", {}),
]


@pytest.mark.parametrize(("action", "resource", "context"), ALLOWED)
def test_what_it_allows(action, resource, context):
    assert decide(POLICY, action, resource, context)


@pytest.mark.parametrize(("action", "resource", "context"), DENIED)
def test_what_it_does_not_allow(action, resource, context):
    assert not decide(POLICY, action, resource, context)


def test_what_is_optional_can_be_left_out():
    least = keeper_policy.keeper_policy(NAMES, optional=False)
    assert not decide(least, "ec2:DescribeSubnets", "*", {})
    assert decide(POLICY, "ec2:DescribeSubnets", "*", {})
    assert decide(least, "s3:ListBucket", BUCKET, OWN | {"s3:prefix": "ci/emr/"})
    assert decide(least, "elasticmapreduce:RunJobFlow", "*", WITH_TAG)


ALL = {(right.service, right.operation) for right in CALLS}


def test_calls_are_checked_with_the_table():
    check_calls(ALL)
    with pytest.raises(AssertionError, match="CreateBucket"):
        check_calls([*ALL, ("s3", "CreateBucket")])
    # Those that only some runs make are called for as well.
    for call in (("emr", "RunJobFlow"), ("ec2", "DescribeSubnets"), ("emr", "StartSession")):
        with pytest.raises(AssertionError, match=call[1]):
            check_calls(ALL - {call})
        check_calls(ALL - {call}, unused=[call[1]])


def test_calls_of_real_clients_are_recorded(endpoint):  # noqa: F811
    session = boto3.Session(
        endpoint.credentials.access_key_id,
        "any",
        region_name=REGION,
        botocore_session=botocore.session.Session(),
    )
    made = record_calls(session)
    session.client("sts", endpoint_url=endpoint.url).get_caller_identity()
    session.client("s3", endpoint_url=endpoint.url).get_bucket_location(Bucket="here")
    with pytest.raises(ClientError):
        session.client("s3", endpoint_url=endpoint.url).get_object(Bucket="not-here", Key="x")
    assert made == {("sts", "GetCallerIdentity"), ("s3", "GetBucketLocation"), ("s3", "GetObject")}
    check_calls(made, unused=[operation for _service, operation in ALL])


def test_the_roles_policies_on_the_page_are_json_and_enough():
    before = PAGE.read_text(encoding="utf-8").partition("## What the keeper needs")[0]
    trust, role = re.findall(r"```json\n(.*?)```", before, re.DOTALL)
    assert json.loads(trust)["Statement"][0]["Action"] == "sts:AssumeRole"
    written = "arn:aws:s3:::BUCKET/PREFIX/run/scratch/x"
    for action in (
        "s3:PutObject",
        "s3:GetObjectVersion",
        "s3:DeleteObjectVersion",
        "s3:AbortMultipartUpload",
    ):
        assert decide(role, action, written, {})
        assert not decide(role, action, "arn:aws:s3:::BUCKET/production/x", {})
    assert decide(role, "elasticmapreduce:AddJobFlowSteps", CLUSTER, {})
    assert decide(role, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/EMR_DefaultRole", {})
    assert not decide(role, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", {})
