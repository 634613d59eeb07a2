"""The IAM policy that the keeper's own credentials need, from a table of the calls that it makes.

``python -m pytest_isolated_emr.backends.emr.keeper_policy PAGE`` writes both into the page docs/emr-iam.md, between its
marks.

Actions, resources and keys are those of the service authorization reference:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_isolated_emr.backends.emr import tags
from pytest_isolated_emr.backends.emr.policies import (
    NEW_CLUSTER,
    allow,
    document,
    role_arn,
)

Conditions = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Names:
    """What the policy names.

    :param account_id: the account.
    :param bucket: of the scratch.
    :param prefix: of the scratch in the bucket, as a pattern has it.
    :param limited_role: the role that tests get, a name or an ARN.
    :param service_role: EMR's own.
    :param instance_role: that of the instances' profile.
    :param partition: of the region.
    """

    account_id: str
    bucket: str
    prefix: str
    limited_role: str
    service_role: str
    instance_role: str
    partition: str = "aws"

    @property
    def patterns(self) -> dict[str, str]:
        """The ARNs that the table's resources stand for."""
        bucket = f"arn:{self.partition}:s3:::{self.bucket}"
        emr = f"arn:{self.partition}:elasticmapreduce:*:{self.account_id}:cluster/*"
        return {
            "any": "*",
            "bucket": bucket,
            "objects": f"{bucket}/{self.prefix}/*",
            "clusters": emr,
            "sessions": f"{emr}/session/*",
            "new cluster": NEW_CLUSTER.format(partition=self.partition),
            "limited role": self._role(self.limited_role),
            "service role": self._role(self.service_role),
            "instance role": self._role(self.instance_role),
        }

    def _role(self, role: str) -> str:
        return role_arn(self.partition, role).replace("iam::*:", f"iam::{self.account_id}:")


@dataclass(frozen=True)
class Right:
    """A call of the keeper's, and what it needs.

    :param service: boto3's name.
    :param operation: the API's name.
    :param actions: of IAM.
    :param resources: names of :attr:`Names.patterns`.
    :param conditions: by operator.
    :param optional: whether the keeper goes on where it is refused.
    :param only_if: when it is called at all; empty for each run.
    """

    service: str
    operation: str
    actions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ("any",)
    conditions: Conditions = field(default_factory=dict)
    optional: bool = False
    only_if: str = ""


_OURS: Conditions = {"StringEquals": {"s3:ResourceAccount": "{account_id}"}}
_OUR_PREFIX: Conditions = {**_OURS, "StringLike": {"s3:prefix": "{prefix}/*"}}
#: Any run's: a sweep ends what others left.
_OUR_TAG: Conditions = {"StringLike": {f"aws:ResourceTag/{tags.RUN_ID}": "*"}}
_WITH_OUR_TAG: Conditions = {"StringLike": {f"aws:RequestTag/{tags.RUN_ID}": "*"}}


def _to(service: str) -> Conditions:
    return {"StringLike": {"iam:PassedToService": f"{service}.amazonaws.com*"}}


def _objects(operation: str, *actions: str, only_if: str = "") -> Right:
    return Right("s3", operation, actions, ("objects",), _OURS, only_if=only_if)


def _cluster(
    operation: str, resource: str = "clusters", only_if: str = "", *, optional: bool = False
) -> Right:
    action = f"elasticmapreduce:{operation}"
    return Right("emr", operation, (action,), (resource,), _OUR_TAG, optional, only_if)


def _look(service: str, operation: str, action: str, only_if: str = "", *resources: str) -> Right:
    """A check ahead, before any cost."""
    return Right(service, operation, (action,), resources or ("any",), optional=True, only_if=only_if)


_SESSIONS = "`spark` is used"
CALLS = (
    # Needs no right: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    Right("sts", "GetCallerIdentity"),
    Right("sts", "AssumeRole", ("sts:AssumeRole",), ("limited role",), only_if="`--isolated-emr-role-arn`"),
    Right("s3", "GetBucketLocation", ("s3:GetBucketLocation",), ("bucket",), _OURS),
    _objects("PutObject", "s3:PutObject"),
    _objects("GetObject", "s3:GetObject"),
    _objects("DeleteObject", "s3:DeleteObject"),
    _objects("DeleteObjects", "s3:DeleteObject", "s3:DeleteObjectVersion"),
    Right("s3", "ListObjectsV2", ("s3:ListBucket",), ("bucket",), _OUR_PREFIX),
    Right("s3", "ListObjectVersions", ("s3:ListBucketVersions",), ("bucket",), _OUR_PREFIX),
    # AWS knows no prefix for it.
    Right("s3", "ListMultipartUploads", ("s3:ListBucketMultipartUploads",), ("bucket",), _OURS),
    _objects("AbortMultipartUpload", "s3:AbortMultipartUpload", only_if="a run left an upload"),
    Right("emr", "ListClusters", ("elasticmapreduce:ListClusters",)),
    # AWS names no resource for RunJobFlow. It asks for AddTags since it takes tags, and for PassRole of each role.
    Right("emr", "RunJobFlow", ("elasticmapreduce:RunJobFlow",), ("any",), _WITH_OUR_TAG),
    Right("emr", "RunJobFlow", ("elasticmapreduce:AddTags",), ("new cluster",), _WITH_OUR_TAG),
    Right("emr", "RunJobFlow", ("iam:PassRole",), ("service role",), _to("elasticmapreduce")),
    Right("emr", "RunJobFlow", ("iam:PassRole",), ("instance role",), _to("ec2")),
    _cluster("DescribeCluster"),
    _cluster("ListInstances", optional=True),
    _cluster("TerminateJobFlows"),
    _cluster("SetTerminationProtection", only_if="a cluster is protected"),
    _cluster("StartSession", only_if=_SESSIONS),
    # A session has tags of its own, not its cluster's; the keeper's have none.
    *(
        Right("emr", operation, (f"elasticmapreduce:{operation}",), ("sessions",), only_if=_SESSIONS)
        for operation in ("GetSession", "GetSessionEndpoint", "TerminateSession")
    ),
    _look("emr", "DescribeReleaseLabel", "elasticmapreduce:DescribeReleaseLabel"),
    _look("emr", "ListSupportedInstanceTypes", "elasticmapreduce:ListSupportedInstanceTypes"),
    _look("iam", "GetRole", "iam:GetRole", "", "service role"),
    _look("iam", "GetInstanceProfile", "iam:GetInstanceProfile"),
    _look("ec2", "DescribeSubnets", "ec2:DescribeSubnets", "a subnet is given"),
    _look("ec2", "DescribeSecurityGroups", "ec2:DescribeSecurityGroups", "security groups are given"),
    _look("ec2", "DescribeKeyPairs", "ec2:DescribeKeyPairs", "a key is given"),
)


def keeper_policy(names: Names, *, indent: int | None = None, optional: bool = True) -> str:
    """Return the policy as JSON.

    :param names: what it names.
    :param indent: for readers.
    :param optional: whether what a run can do without is in it.
    """
    groups: dict[str, tuple[Right, list[str]]] = {}
    for right in CALLS:
        if right.actions and (optional or not right.optional):
            _, actions = groups.setdefault(repr((right.resources, right.conditions)), (right, []))
            actions.extend(action for action in right.actions if action not in actions)
    statements = []
    for right, actions in groups.values():
        conditions = {
            operator: {key: _filled(value, names) for key, value in keys.items()}
            for operator, keys in right.conditions.items()
        }
        statements.append(allow(actions, [names.patterns[name] for name in right.resources], **conditions))
    return document(statements, indent=indent)


def _filled(value: str, names: Names) -> str:
    return value.replace("{account_id}", names.account_id).replace("{prefix}", names.prefix)


def check_calls(recorded: Iterable[tuple[str, str]], *, unused: Iterable[str] = ()) -> None:
    """Assert that calls which were made are all in the table, and that all of the table were made.

    :param recorded: service and operation, as boto3 names them.
    :param unused: operations that were not to be made this time.
    :raises AssertionError: one is missing there or here.
    """
    made = set(recorded)
    known = {(right.service, right.operation) for right in CALLS}
    not_known = made - known
    not_made = {call for call in known - made if call[1] not in set(unused)}
    assert not not_known, f"calls that the keeper's policy does not have: {sorted(not_known)}"
    assert not not_made, f"calls of the keeper's policy that were not made: {sorted(not_made)}"


#: What the page's policy names; a reader exchanges them.
EXAMPLE = Names(
    account_id="123456789012",
    bucket="BUCKET",
    prefix="PREFIX",
    limited_role="isolated-emr-tests",
    service_role="EMR_DefaultRole",
    instance_role="EMR_EC2_DefaultRole",
)
_BEGIN = "<!-- From here on written by: python -m pytest_isolated_emr.backends.emr.keeper_policy -->\n"
_END = "<!-- To here. -->\n"


def generated() -> str:
    """Return the part of the page that comes from the table."""
    lines = ["| Call | Action | On | Only where |", "| --- | --- | --- | --- |"]
    for right in CALLS:
        actions = ", ".join(f"`{action}`" for action in right.actions) or "none is needed"
        when = right.only_if + (", " if right.only_if and right.optional else "")
        when += "optional" if right.optional else ""
        lines.append(
            f"| {right.service} {right.operation} | {actions} | {', '.join(right.resources)} | {when} |"
        )
    return "\n".join(
        [
            "### The calls",
            "",
            *lines,
            "",
            "### The policy",
            "",
            "```json",
            keeper_policy(EXAMPLE, indent=2),
            "```",
            "",
        ]
    )


def updated(page: str) -> str:
    """Return the page with its generated part as it is now.

    :param page: its text.
    """
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{generated()}\n{_END}{after}"


def main() -> None:
    """Write the page that the command line names."""
    page = Path(sys.argv[1])
    page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
