"""What to do about what AWS says: to a cluster that it does not take, and of one that ended before it was ready.

The words and codes are AWS's, from its guide (https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-troubleshoot-errors.html)
and as people have reported them.
"""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import ClientError

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import code_of

#: Patterns of code and words, the more special ones first, and the cure.
_CURES = (
    (
        r"iam:PassRole",
        "Let the credentials pass the roles of the cluster on to EMR (iam:PassRole, see docs/emr-iam.md).",
    ),
    (
        r"CreateServiceLinkedRole|service-linked role|AWSServiceRoleForEMRCleanup",
        "Have somebody who may do so run `aws iam create-service-linked-role --aws-service-name "
        "elasticmapreduce.amazonaws.com`, once for the account.",
    ),
    (
        r"insufficient EC2 permissions",
        "Give the service role EMR's own policy. With AmazonEMRServicePolicy_v2 add "
        "`for-use-with-amazon-emr-managed-policies = true` to isolated_emr_tags, and the same tag to the subnet and the security groups.",
    ),
    (
        r"instance ?profile|service ?role|JobFlowRole|EMR_(?:EC2_)?DefaultRole",
        "Make EMR's roles with `aws emr create-default-roles`, or name those of the account "
        "(--isolated-emr-service-role, --isolated-emr-instance-profile).",
    ),
    (
        r"spot",
        "Run without --isolated-emr-spot, or choose an instance type or a subnet with more capacity to spare.",
    ),
    (
        r"INSUFFICIENT_CAPACITY|out of capacity|(?:insufficient|not enough|no) (?:\w+ )*capacity",
        "Choose a subnet in another availability zone (--isolated-emr-subnet) or another instance type "
        "(--isolated-emr-instance-type), or run again later.",
    ),
    (
        r"quota|limit ?exceeded|exceed\w* \w*\s?limit|maximum number of|limit was exceeded",
        "Ask for a higher quota (https://console.aws.amazon.com/servicequotas), end what runs for nothing, or ask for less: "
        "--isolated-emr-instance-type, --isolated-emr-instance-count, --isolated-emr-max-sessions.",
    ),
    (
        r"subnet is required|only be used in a VPC",
        "Name a subnet of the account (--isolated-emr-subnet): it has no default one.",
    ),
    (
        r"instance type|INSTANCE_TYPE_NOT_SUPPORTED",
        "Choose another instance type (--isolated-emr-instance-type), or a subnet in an availability zone that has it "
        "(--isolated-emr-subnet).",
    ),
    (
        r"SSH_KEY_NAME|key ?pair|ssh key",
        "Name a key pair of this account and region, or none (--isolated-emr-key-name).",
    ),
    (
        r"security[ _]?group",
        "Name security groups of the subnet's VPC in isolated_emr_security_groups, or none: then EMR makes its own.",
    ),
    (
        r"subnet|VPC",
        "Choose a subnet (--isolated-emr-subnet) with free addresses, DNS and a way to S3 and EMR: an internet gateway, a NAT gateway "
        "or endpoints of the VPC.",
    ),
    (
        r"release ?label|release .* (?:is )?invalid",
        "Choose a release that the region has (--isolated-emr-release).",
    ),
    (
        r"bootstrap action 1 (?:returned|timed|file)",
        "The first bootstrap action is the run's own timer, which comes from the run's prefix: let the instance profile read the scratch. "
        "Its output is under the log URI in node/INSTANCE/bootstrap-actions/1/.",
    ),
    (
        r"bootstrap action",
        "Read the bootstrap action's output, under the log URI in node/INSTANCE/bootstrap-actions/NUMBER/; "
        "the run's own is number 1.",
    ),
    (
        r"provisioning (?:failed|timed out)|BOOTSTRAP_FAILURE|failed to launch",
        "Look at isolated_emr_applications and isolated_emr_configurations, which may not fit the release, and at the instance's size; "
        "logs are under the log URI in node/INSTANCE/provision-node/.",
    ),
    (
        r"location-constraint|bucket|log ?uri",
        "Let the log URI and the scripts be in buckets of the cluster's region.",
    ),
    (
        r"thrott|rate exceeded",
        "Wait, and run again: too much is asked of EC2 on this account at the same time.",
    ),
    (
        r"USER_REQUEST|terminated by user",
        "Ask who ended it (CloudTrail has it as TerminateJobFlows), and run again.",
    ),
    (r"STEP_FAILURE", "Take out steps that the hook adds, or mend them."),
    (
        r"INSTANCE_FAILURE|INTERNAL_ERROR|internal error",
        "Run again; if it comes back, try another instance type or availability zone.",
    ),
    (
        r"AccessDenied|not authorized",
        "Give the credentials the rights of docs/emr-iam.md.",
    ),
)
_OTHERWISE = "Mend what AWS names; the cluster's page in the console may say more."


def refused(error: ClientError) -> errors.ClusterRefused:
    """Return the error for what RunJobFlow answered.

    :param error: as botocore raises it.
    """
    words = str(error.response.get("Error", {}).get("Message") or "no more words")
    code = code_of(error)
    return errors.ClusterRefused(
        "AWS does not take the cluster that was asked for.",
        checked=f"{error.operation_name}: AWS says {code}: {words}",
        cure=_cure(f"{code}: {words}"),
    )


def cure_for(status: dict[str, Any]) -> str:
    """Return what to do about a cluster that ended before it was ready.

    :param status: as DescribeCluster has it: its ``ErrorDetails`` say more than its ``StateChangeReason``. The latter alone is one
        too.
    """
    reason = status.get("StateChangeReason") or status
    details = status.get("ErrorDetails") or ()
    told = [*(f"{each.get('ErrorCode', '')}: {each.get('ErrorMessage', '')}" for each in details)]
    told.append(f"{reason.get('Code', '')}: {reason.get('Message', '')}")
    cures = (_cure(text) for text in told)
    return next((cure for cure in cures if cure != _OTHERWISE), _OTHERWISE)


def _cure(text: str) -> str:
    found = (cure for pattern, cure in _CURES if re.search(pattern, text, re.IGNORECASE))
    return next(found, _OTHERWISE)
