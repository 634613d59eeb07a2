"""What the credentials of a run's tests may do, and above all what they may not."""

from __future__ import annotations

import json

import pytest

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.session_policy import MOST_CHARACTERS, session_policy

from .policy_evaluation import decide

ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
RUN, OTHER_RUN = "20261123t211623-9f3c2a", "20261123t211623-9f3c2b"
BUCKET = "arn:aws:s3:::team-bucket"
OWN = {"s3:ResourceAccount": ACCOUNT}
CLUSTER = f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:cluster/j-1ABCDEF"
NEW_CLUSTER = f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:cluster/*"
SESSION = f"{CLUSTER}/session/is-1"
TAG = "isolated-emr-run-id"


def policy(prefix="ci/emr", bucket="team-bucket", roles=("EMR_DefaultRole", "EMR_EC2_DefaultRole"), run=RUN):
    return session_policy(
        partition="aws", account_id=ACCOUNT, bucket=bucket, prefix=prefix, run_id=run, roles=roles
    )


def allows(action, resource, context=None, **options):
    return decide(policy(**options), action, resource, context or {})


def of_cluster(run=RUN):
    return {f"aws:ResourceTag/{TAG}": run}


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging"])
def test_all_of_the_run_can_be_read(action):
    for key in ("scratch/a", "logs/j-1/steps/stderr.gz", "code/lifetime.sh", "lease.json"):
        assert allows(action, f"{BUCKET}/ci/emr/{RUN}/{key}", OWN)


WRITES = (
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)


@pytest.mark.parametrize("action", WRITES)
def test_the_scratch_alone_can_be_written(action):
    assert allows(action, f"{BUCKET}/ci/emr/{RUN}/scratch/deep/down", OWN)
    for key in (
        f"ci/emr/{RUN}/lease.json",
        f"ci/emr/{RUN}/code/lifetime.sh",
        f"ci/emr/{RUN}/logs/x",
        f"ci/emr/{RUN}/scratch",
        f"ci/emr/{RUN}/scratches/x",
        f"ci/emr/{OTHER_RUN}/scratch/x",
        "ci/emr/.isolated-emr/slots/1.json",
        "production/table/part-0",
        f"production/ci/emr/{RUN}/scratch/x",
    ):
        assert not allows(action, f"{BUCKET}/{key}", OWN), key


def test_no_other_object_can_be_read():
    for place in (
        f"{BUCKET}/ci/emr/{OTHER_RUN}/scratch/x",
        f"{BUCKET}/ci/emr/.isolated-emr/slots/1.json",
        f"{BUCKET}/production/table/part-0",
        f"arn:aws:s3:::other-bucket/ci/emr/{RUN}/scratch/x",
        f"arn:aws:s3:::team-bucket-2/ci/emr/{RUN}/scratch/x",
    ):
        assert not allows("s3:GetObject", place, OWN), place


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:GetBucketLocation"])
def test_a_bucket_of_another_account_is_none_of_ours(action):
    context = {"s3:ResourceAccount": OTHER_ACCOUNT, "s3:prefix": f"ci/emr/{RUN}/"}
    resource = BUCKET if "Bucket" in action else f"{BUCKET}/ci/emr/{RUN}/scratch/x"
    assert allows(action, resource, context | OWN)
    assert not allows(action, resource, context)


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:ListBucketVersions"])
def test_lists_are_of_the_run_alone(action):
    assert allows(action, BUCKET, OWN | {"s3:prefix": f"ci/emr/{RUN}/scratch/x"})
    for prefix in ("", "ci/emr/", f"ci/emr/{OTHER_RUN}/", f"ci/emr/{RUN}"):
        assert not allows(action, BUCKET, OWN | {"s3:prefix": prefix}), prefix
    # HeadBucket, and a list of all.
    assert not allows(action, BUCKET, OWN)


@pytest.mark.parametrize(
    "action",
    [
        "s3:PutObjectAcl",
        "s3:PutObjectRetention",
        "s3:PutObjectLegalHold",
        "s3:PutBucketPolicy",
        "s3:DeleteBucket",
        "s3:CreateBucket",
        "s3:ListAllMyBuckets",
    ],
)
def test_nothing_of_s3_that_outlasts_the_run(action):
    for resource in (BUCKET, f"{BUCKET}/ci/emr/{RUN}/scratch/x", "*"):
        assert not allows(action, resource, OWN)


@pytest.mark.parametrize("prefix", ["a*b", "what?", "money$", "${aws:username}"])
def test_a_prefix_is_no_pattern(prefix):
    written = f"{BUCKET}/{prefix}/{RUN}/scratch/x"
    assert allows("s3:PutObject", written, OWN, prefix=prefix)
    other = prefix.replace("*", "zzz").replace("?", "z").replace("$", "z")
    assert not allows("s3:PutObject", f"{BUCKET}/{other}/{RUN}/scratch/x", OWN, prefix=prefix)
    assert allows("s3:ListBucket", BUCKET, OWN | {"s3:prefix": f"{prefix}/{RUN}/"}, prefix=prefix)


OF_CLUSTERS = (
    "DescribeCluster",
    "AddJobFlowSteps",
    "ListSteps",
    "CancelSteps",
    "TerminateJobFlows",
    "ModifyInstanceGroups",
    "StartSession",
    "ListSessions",
    "SetTerminationProtection",
)


@pytest.mark.parametrize("action", OF_CLUSTERS)
def test_clusters_of_the_run_alone(action):
    assert allows(f"elasticmapreduce:{action}", CLUSTER, of_cluster())
    assert not allows(f"elasticmapreduce:{action}", CLUSTER, of_cluster(OTHER_RUN))
    assert not allows(f"elasticmapreduce:{action}", CLUSTER)


@pytest.mark.parametrize("action", ["GetSession", "GetSessionEndpoint", "TerminateSession"])
def test_sessions_that_have_the_runs_tag(action):
    assert allows(f"elasticmapreduce:{action}", SESSION, of_cluster())
    assert not allows(f"elasticmapreduce:{action}", SESSION)


def test_a_cluster_is_started_with_the_runs_tag_alone():
    for resource in ("*", NEW_CLUSTER):
        assert allows("elasticmapreduce:RunJobFlow", resource, {f"aws:RequestTag/{TAG}": RUN})
        assert not allows("elasticmapreduce:RunJobFlow", resource, {f"aws:RequestTag/{TAG}": OTHER_RUN})
        assert not allows("elasticmapreduce:RunJobFlow", resource)


def test_tags_of_a_cluster_that_is_there():
    ours = {f"aws:RequestTag/{TAG}": RUN, "aws:TagKeys": [TAG, "team"]}
    # As a part of RunJobFlow, for which AWS asks for this very text.
    assert allows("elasticmapreduce:AddTags", NEW_CLUSTER, ours)
    # With the run's tag a cluster would become the run's.
    assert not allows("elasticmapreduce:AddTags", CLUSTER, ours)
    assert not allows("elasticmapreduce:AddTags", CLUSTER, ours | of_cluster(OTHER_RUN))
    # Nor any other tag to another's.
    assert not allows("elasticmapreduce:AddTags", CLUSTER, {"aws:TagKeys": ["team"]} | of_cluster(OTHER_RUN))
    # What a sweep goes by stays.
    for action in ("AddTags", "RemoveTags"):
        changes = {"aws:TagKeys": ["team", "isolated-emr-expiry"]}
        assert not allows(f"elasticmapreduce:{action}", CLUSTER, changes | of_cluster())
        assert allows(f"elasticmapreduce:{action}", CLUSTER, {"aws:TagKeys": ["team"]} | of_cluster())


def test_what_knows_no_tags():
    for action in ("ListClusters", "DescribeReleaseLabel", "ListReleaseLabels"):
        assert allows(f"elasticmapreduce:{action}", "*")
    for action in (
        "CreateSecurityConfiguration",
        "DeleteSecurityConfiguration",
        "CreateStudio",
        "ListStudios",
    ):
        assert not allows(f"elasticmapreduce:{action}", "*")
    assert not allows("elasticmapreduce:PutBlockPublicAccessConfiguration", "*")


def test_the_roles_of_a_cluster_can_be_passed():
    role = f"arn:aws:iam::{ACCOUNT}:role/EMR_EC2_DefaultRole"
    to_ec2 = {"iam:PassedToService": "ec2.amazonaws.com"}
    assert allows("iam:PassRole", role, to_ec2)
    assert allows("iam:PassRole", role, {"iam:PassedToService": "elasticmapreduce.amazonaws.com"})
    assert not allows("iam:PassRole", role, {"iam:PassedToService": "lambda.amazonaws.com"})
    assert not allows("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", to_ec2)
    assert not allows("iam:PassRole", role, to_ec2, roles=())
    given = f"arn:aws:iam::{ACCOUNT}:role/service-role/EMR"
    assert allows("iam:PassRole", given, to_ec2, roles=(given,))


def test_keys_of_encrypted_buckets_through_s3_alone():
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"
    assert allows("kms:Decrypt", key, {"kms:ViaService": "s3.eu-west-1.amazonaws.com"})
    assert not allows("kms:Decrypt", key)
    assert not allows("kms:Decrypt", key, {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"})


@pytest.mark.parametrize(
    "action", ["iam:CreateRole", "sts:AssumeRole", "ec2:TerminateInstances", "glue:GetTables"]
)
def test_nothing_else(action):
    assert not allows(action, "*", OWN | of_cluster())


@pytest.mark.parametrize(
    ("prefix", "roles"),
    [
        ("p" * 80, ("EMR_DefaultRole", "EMR_EC2_DefaultRole")),
        ("p" * 40, ("r" * 64, "s" * 64)),
    ],
)
def test_the_longest_names_fit(prefix, roles):
    text = policy(prefix, "b" * 63, roles)
    assert len(text) <= MOST_CHARACTERS
    assert json.loads(text)["Version"] == "2012-10-17"


def test_a_prefix_that_is_too_long_is_said():
    with pytest.raises(errors.CredentialsUnusable, match="too long") as caught:
        policy("p" * 200)
    assert "shorter prefix" in caught.value.cure


def test_the_partition_is_the_accounts():
    text = session_policy(partition="aws-cn", account_id=ACCOUNT, bucket="b", prefix="p", run_id=RUN)
    assert "arn:aws:" not in text
    assert decide(text, "s3:GetObject", f"arn:aws-cn:s3:::b/p/{RUN}/x", OWN)
