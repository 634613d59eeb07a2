"""What a session may have beside its cluster, each of which has its keeper call more of AWS."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from pytest_isolated_emr.backends.emr.account import Account
from tests.amazon import ROLE as ROLE_ARN
from tests.emr_backend.faults import Fault, Rule

ROLE = "a role for tests"
NETWORK = "a subnet, a security group and a key"
LEFTOVERS = "objects and an upload in its prefix"
PROTECTION = "a protected cluster"
SPARK = "Spark"
LOST_CLAIM = "a claim of a slot that nobody answers"

#: What each has the keeper call that no other session's does.
OPERATIONS_OF: Mapping[str, tuple[str, ...]] = {
    ROLE: ("AssumeRole",),
    NETWORK: ("DescribeSubnets", "DescribeSecurityGroups", "DescribeKeyPairs"),
    LEFTOVERS: ("AbortMultipartUpload",),
    PROTECTION: ("SetTerminationProtection",),
    LOST_CLAIM: ("ListObjectsV2",),
    SPARK: ("StartSession", "GetSession", "GetSessionEndpoint", "TerminateSession"),
}
#: The first slot is another's; the claim of the second one gets lost, and so does the look whether it was one.
LOSE_CLAIM = (
    Rule(Fault.DROPPED_AFTER, ("PutObject",), count=1, key="/slots/"),
    Rule(Fault.DROPPED_BEFORE, ("GetObject",), first=3, count=1, key="/slots/"),
)
#: All that go together: what has no slot has no cluster.
TOGETHER = tuple(extra for extra in OPERATIONS_OF if extra != LOST_CLAIM)

_KEY_NAME = "isolated-emr"
#: More than one page of S3's would be dear; more than one object is none that a lucky delete gets.
_OBJECTS = 5


def settings_of(extras: tuple[str, ...], account: Account) -> dict[str, Any]:
    """Return what an order has for a session's extras.

    :param extras: which ones.
    :param account: reached past all faults.
    """
    settings: dict[str, Any] = {"spark": SPARK in extras}
    if ROLE in extras:
        settings["role_arn"] = ROLE_ARN
    if NETWORK in extras:
        ec2 = account.client("ec2")
        with contextlib.suppress(ec2.exceptions.ClientError):
            # Another case may have made it.
            ec2.create_key_pair(KeyName=_KEY_NAME)
        subnet = ec2.describe_subnets()["Subnets"][0]
        filters = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
        group = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]
        settings["subnet"] = subnet["SubnetId"]
        settings["security_group"] = group["GroupId"]
        settings["key_name"] = _KEY_NAME
    return settings


def leave(account: Account, bucket: str, prefix: str) -> None:
    """Be tests that leave objects and an unfinished upload in their scratch.

    :param account: reached past all faults.
    :param bucket: of the scratch.
    :param prefix: of the run.
    """
    s3 = account.client("s3")
    for number in range(_OBJECTS):
        s3.put_object(Bucket=bucket, Key=f"{prefix}/scratch/main/left/part-{number}", Body=b"left")
    upload = s3.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/scratch/main/left/large")
    s3.upload_part(
        Bucket=bucket,
        Key=f"{prefix}/scratch/main/left/large",
        UploadId=upload["UploadId"],
        PartNumber=1,
        Body=b"left",
    )
