"""The policy that limits pytest's own process to its run.

It goes into AssumeRole: what the credentials may do is what both the role and this policy allow
(https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session). The cluster's id is not known
when it is written; its tags are.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import tags
from pytest_isolated_emr.backends.emr.policies import NEW_CLUSTER, allow, deny, document, literal, role_arn

#: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
MOST_CHARACTERS = 2048

#: EMR takes these keys for its own ``elasticmapreduce:…``; they are shorter.
_OF_REQUEST = f"aws:RequestTag/{tags.RUN_ID}"
_OF_RESOURCE = f"aws:ResourceTag/{tags.RUN_ID}"
#: What the tags of ours begin with.
_OUR_TAGS = "isolated-emr-*"


def session_policy(
    *, partition: str, account_id: str, bucket: str, prefix: str, run_id: str, roles: Sequence[str] = ()
) -> str:
    """Return the policy as JSON.

    :param partition: of the region, such as ``aws``.
    :param account_id: that of bucket and clusters.
    :param bucket: of the scratch.
    :param prefix: of the scratch in the bucket, without slashes at its ends.
    :param run_id: the run.
    :param roles: names or ARNs of the roles that a cluster which a test starts may have: EMR's own, and that of the
        instances.
    :raises CredentialsUnusable: it is longer than AWS takes.
    """
    run = literal(f"{prefix}/{run_id}")
    objects = f"arn:{partition}:s3:::{bucket}/{run}"
    new_cluster = NEW_CLUSTER.format(partition=partition)
    statements = [
        allow(["s3:GetObject*"], [f"{objects}/*"]),
        # Not PutObject*: a lock on an object, or a right for others, would outlast the run.
        allow(
            ["s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObject*", "s3:*MultipartUpload*"],
            [f"{objects}/scratch/*"],
        ),
        # In whatever bucket, as no other has a run's id. Not unfinished uploads: AWS knows no prefix for their list.
        allow(["s3:ListBucket*"], ["*"], StringLike={"s3:prefix": f"{run}/*"}),
        # ARNs of S3 name no account: a bucket of this name may be another's one day.
        deny(["s3:*"], {"Resource": "*"}, StringNotEquals={"s3:ResourceAccount": account_id}),
        # A bucket may encrypt with a key; whose key, the role says.
        allow(["kms:Decrypt", "kms:GenerateDataKey"], ["*"], StringLike={"kms:ViaService": "s3.*"}),
        # What has no tags, such as CreateStudio, has none of this value and is not allowed.
        allow(["elasticmapreduce:*"], ["*"], StringEquals={_OF_RESOURCE: run_id}),
        allow(["elasticmapreduce:RunJobFlow"], ["*"], StringEquals={_OF_REQUEST: run_id}),
        allow(["elasticmapreduce:AddTags"], [new_cluster]),
        # By our tags a sweep proves what is whose: a test gives them to no cluster that is there, and takes none away.
        deny(
            ["elasticmapreduce:*Tags"],
            {"NotResource": new_cluster},
            **{"ForAnyValue:StringLike": {"aws:TagKeys": _OUR_TAGS}},
        ),
        # These know neither tags nor prefixes.
        allow(
            ["s3:GetBucketLocation", "elasticmapreduce:ListClusters", "elasticmapreduce:*ReleaseLabel*"],
            ["*"],
        ),
    ]
    if roles:
        statements.append(
            allow(
                ["iam:PassRole"],
                [role_arn(partition, role) for role in dict.fromkeys(roles)],
                StringLike={"iam:PassedToService": ["elasticmapreduce.*", "ec2.*"]},
            )
        )
    text = document(statements)
    if len(text) > MOST_CHARACTERS:
        raise errors.CredentialsUnusable(
            "The policy that limits the tests' credentials to their run is too long for AWS.",
            checked=f"{len(text)} characters with the scratch s3://{bucket}/{prefix} and the roles "
            f"{', '.join(roles) or 'none'}; {MOST_CHARACTERS} are allowed",
            cure="Choose a shorter prefix for the scratch, or shorter names of the roles.",
        )
    return text
