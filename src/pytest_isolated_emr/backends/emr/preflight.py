"""What is looked at before anything costs: that what a cluster needs is there. All that is wrong is said at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account, aws_errors, code_of

#: Codes by which services say that the credentials may not make a call.
_NOT_ALLOWED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
#: What GetBucketLocation says of the oldest ones.
_OLD_NAMES_OF_REGIONS = {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}
_SECURITY_GROUPS = (
    "EmrManagedMasterSecurityGroup",
    "EmrManagedSlaveSecurityGroup",
    "ServiceAccessSecurityGroup",
)
_MORE_SECURITY_GROUPS = ("AdditionalMasterSecurityGroups", "AdditionalSlaveSecurityGroups")


def check_bucket(account: Account, bucket: str) -> None:
    """See that the bucket of the scratch is there, of the account, and in the cluster's region.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html

    :param account: it; its calls say whose the bucket has to be.
    :param bucket: its name.
    :raises BucketUnusable: it is not.
    :raises IsolatedEmrError: AWS does not answer, or not to these credentials.
    """
    try:
        with aws_errors(f"looking at the bucket {bucket}"):
            told = account.client("s3").get_bucket_location(Bucket=bucket)["LocationConstraint"]
    except errors.AwsRefused as error:
        raise _unusable(account, bucket, error) from error
    region = _OLD_NAMES_OF_REGIONS.get(told, told)
    if region != account.region:
        raise errors.BucketUnusable(
            f"The bucket {bucket} is in {region}, the cluster would be in {account.region}.",
            checked=f"GetBucketLocation: {told}",
            cure=f"Use a bucket in {account.region} (--isolated-emr-scratch), or run in {region} (--isolated-emr-region).",
        )


def _unusable(account: Account, bucket: str, error: errors.AwsRefused) -> errors.IsolatedEmrError:
    code = _code(error)
    if code == "NoSuchBucket":
        return errors.BucketUnusable(
            f"There is no bucket {bucket}.",
            checked=error.checked,
            cure=f"Make one in {account.region}, or name one that is there (--isolated-emr-scratch).",
        )
    if code in _NOT_ALLOWED:
        # S3 does not say which: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
        return errors.BucketUnusable(
            f"The bucket {bucket} is another account's, or these credentials may not look at it.",
            checked=f"{error.checked}; the bucket has to be of account {account.id}, whose credentials are {account.arn}",
            cure="Name a bucket of this account (--isolated-emr-scratch), or give the credentials the rights of docs/emr-iam.md.",
        )
    return error


def _code(error: errors.AwsRefused) -> str:
    return code_of(error.__cause__) if isinstance(error.__cause__, ClientError) else ""


def check_cluster(account: Account, request: dict[str, Any]) -> list[str]:
    """See that what a RunJobFlow request names is there.

    :param account: where the cluster is to be.
    :param request: of RunJobFlow, as boto3 takes it.
    :returns: what could not be looked at, in words.
    :raises ClusterRefused: something is not there; all that is not is named.
    :raises IsolatedEmrError: AWS does not answer, or not to these credentials.
    """
    look = _Look()
    _look_at_release(look, account, request)
    _look_at_network(look, account, request)
    _look_at_roles(look, account, request)
    if look.findings:
        cures = dict.fromkeys(cure for _, cure in look.findings)
        raise errors.ClusterRefused(
            "The cluster that was asked for cannot be had.",
            checked="; ".join(finding for finding, _ in look.findings),
            cure=" ".join(cures),
        )
    return look.notes


class _Look:
    """What was found wrong, with the cure, and what could not be looked at."""

    def __init__(self) -> None:
        self.findings: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def at(self, thing: str, call: Callable[[], Any], cure: str) -> Any:
        """Return what AWS says of a thing; None where it says that there is none, or nothing to these credentials."""
        try:
            with aws_errors(f"looking at {thing}"):
                return call()
        except errors.AwsRefused as error:
            if _code(error) in _NOT_ALLOWED:
                self.notes.append(f"not checked before the launch, as the credentials may not: {thing}")
            else:
                self.findings.append((error.checked, cure))
            return None

    def found(self, finding: str, cure: str) -> None:
        """Note something wrong."""
        self.findings.append((finding, cure))


def _look_at_release(look: _Look, account: Account, request: dict[str, Any]) -> None:
    label = request.get("ReleaseLabel")
    if not label:
        return
    emr = account.client("emr")
    cure = f"Choose a release that {account.region} has (--isolated-emr-release)."
    applications = look.at(
        f"the release {label}",
        lambda: _pages(emr.describe_release_label, "Applications", "NextToken", ReleaseLabel=label),
        cure,
    )
    if applications is None:
        return
    _compare(
        look,
        [application["Name"] for application in request.get("Applications") or ()],
        [application["Name"] for application in applications],
        f"DescribeReleaseLabel: {label} has no application",
        "Change isolated_emr_applications.",
    )
    types = look.at(
        f"the instance types of {label}",
        lambda: _pages(
            emr.list_supported_instance_types, "SupportedInstanceTypes", "Marker", ReleaseLabel=label
        ),
        cure,
    )
    _compare(
        look,
        sorted(set(_instance_types(request))),
        [each["Type"] for each in types or ()],
        f"ListSupportedInstanceTypes: {label} does not run on",
        "Choose another instance type (--isolated-emr-instance-type).",
    )


def _pages(call: Callable[..., Any], key: str, marker: str, **asked: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = call(**asked)
        found += answer.get(key) or ()
        if not answer.get(marker):
            return found
        asked[marker] = answer[marker]


def _compare(look: _Look, asked: list[str], known: list[str], finding: str, cure: str) -> None:
    folded = {name.casefold() for name in known}
    for name in asked:
        # Where AWS names none it does not say that there are none.
        if folded and name.casefold() not in folded:
            look.found(f"{finding} {name}", cure)


def _instance_types(request: dict[str, Any]) -> Iterator[str]:
    instances = request["Instances"]
    for name in ("MasterInstanceType", "SlaveInstanceType"):
        if instances.get(name):
            yield instances[name]
    for group in instances.get("InstanceGroups") or ():
        yield group["InstanceType"]
    for fleet in instances.get("InstanceFleets") or ():
        for config in fleet.get("InstanceTypeConfigs") or ():
            yield config["InstanceType"]


def _look_at_network(look: _Look, account: Account, request: dict[str, Any]) -> None:
    instances, ec2 = request["Instances"], account.client("ec2")
    subnets = {instances.get("Ec2SubnetId"), *(instances.get("Ec2SubnetIds") or ())} - {None, ""}
    groups = {instances.get(name) for name in _SECURITY_GROUPS} - {None, ""}
    for name in _MORE_SECURITY_GROUPS:
        groups |= set(instances.get(name) or ())
    networks = set()
    # Fleets count in units, not instances.
    count = sum(group["InstanceCount"] for group in instances.get("InstanceGroups") or ())
    for subnet in sorted(subnets):
        told = look.at(
            f"the subnet {subnet}",
            partial(ec2.describe_subnets, SubnetIds=[subnet]),
            f"Name a subnet of this account in {account.region} (--isolated-emr-subnet).",
        )
        for each in (told or {}).get("Subnets", ()):
            networks.add(each["VpcId"])
            if each["AvailableIpAddressCount"] < count:
                look.found(
                    f"DescribeSubnets: {subnet} has {each['AvailableIpAddressCount']} free addresses for {count} instances",
                    "Choose a subnet with more free addresses (--isolated-emr-subnet).",
                )
    for group in sorted(groups):
        cure = "Name security groups of the subnet's VPC in isolated_emr_security_groups, or none: then EMR makes its own."
        told = look.at(
            f"the security group {group}",
            partial(ec2.describe_security_groups, GroupIds=[group]),
            cure,
        )
        for each in (told or {}).get("SecurityGroups", ()):
            if networks and each["VpcId"] not in networks:
                look.found(
                    f"DescribeSecurityGroups: {group} is of {each['VpcId']}, the subnet of {', '.join(networks)}",
                    cure,
                )
    key = instances.get("Ec2KeyName")
    if key:
        look.at(
            f"the key pair {key}",
            partial(ec2.describe_key_pairs, KeyNames=[key]),
            f"Name a key pair of this account in {account.region}, or none (--isolated-emr-key-name).",
        )


def _look_at_roles(look: _Look, account: Account, request: dict[str, Any]) -> None:
    iam = account.client("iam")
    for member, option in (("ServiceRole", "--isolated-emr-service-role"), ("AutoScalingRole", "the hook")):
        role = _name(request.get(member))
        if role:
            look.at(
                f"the role {role}",
                partial(iam.get_role, RoleName=role),
                f"Make EMR's roles with `aws emr create-default-roles`, or name one of the account ({option}).",
            )
    profile = _name(request.get("JobFlowRole"))
    if not profile:
        return
    cure = (
        "Make EMR's roles with `aws emr create-default-roles`, or name an instance profile of the account "
        "(--isolated-emr-instance-profile)."
    )
    told = look.at(
        f"the instance profile {profile}",
        partial(iam.get_instance_profile, InstanceProfileName=profile),
        cure,
    )
    if told is not None and not told["InstanceProfile"]["Roles"]:
        look.found(f"GetInstanceProfile: {profile} has no role", cure)


def _name(name_or_arn: str | None) -> str:
    return (name_or_arn or "").rpartition("/")[2]
