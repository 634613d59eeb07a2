"""What is looked at before a launch, against the project's own endpoint; and what is said of AWS's refusals."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import preflight
from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.backends.emr.cures import cure_for, refused
from pytest_isolated_emr.backends.emr.request import cluster_request
from pytest_isolated_emr.emr_settings import EmrSettings
from tests.aws.conftest import (  # noqa: F401
    REGION,
    Endpoint,
    Start,
    in_session,
    start_endpoint,
)

RELEASE = "emr-7.10.0"


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Start, tmp_path_factory: pytest.TempPathFactory) -> Endpoint:  # noqa: F811
    """One with the project's own EMR."""
    directory = tmp_path_factory.mktemp("session")
    return start_endpoint([{"name": "here", "directory": None}], session_directory=directory)


@pytest.fixture
def account(in_session: Endpoint) -> Account:  # noqa: F811
    return Account.connect(REGION)


@dataclass
class Things:
    """What an account has that is ready for clusters."""

    subnet: str
    group: str
    key: str
    role: str
    profile: str


@pytest.fixture
def things(account: Account) -> Iterator[Things]:
    ec2, iam = account.client("ec2"), account.client("iam")
    subnet = ec2.describe_subnets()["Subnets"][0]
    network = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
    group = ec2.describe_security_groups(Filters=network)["SecurityGroups"][0]
    ec2.create_key_pair(KeyName="mine")
    iam.create_role(RoleName="emr", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"}))
    iam.create_instance_profile(InstanceProfileName="nodes")
    iam.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName="emr")
    yield Things(subnet["SubnetId"], group["GroupId"], "mine", "emr", "nodes")
    iam.remove_role_from_instance_profile(InstanceProfileName="nodes", RoleName="emr")
    iam.delete_instance_profile(InstanceProfileName="nodes")
    iam.delete_role(RoleName="emr")
    ec2.delete_key_pair(KeyName="mine")


def request_for(things: Things, label: str = RELEASE, **settings: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "subnet": things.subnet,
        "security_groups": {
            "EmrManagedMasterSecurityGroup": things.group,
            "AdditionalSlaveSecurityGroups": things.group,
        },
        "key_name": things.key,
        "service_role": things.role,
        "instance_profile": f"arn:aws:iam::123456789012:instance-profile/{things.profile}",
        "applications": ("Spark", "hadoop"),
    }
    return cluster_request(EmrSettings("here", "runs", **defaults | settings), label, False)


def answer(client: Any, operation: str, status: int, body: str) -> Callable[[], None]:
    """Let AWS answer a call with something else."""

    def instead(request: Any, **_: Any) -> AWSResponse:
        response = AWSResponse(request.url, status, {}, io.BytesIO())
        response._content = body.encode()
        return response

    event = f"before-send.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    client.meta.events.register(event, instead)
    return lambda: client.meta.events.unregister(event, instead)


S3_ERROR = "<Error><Code>{}</Code><Message>No.</Message></Error>"


def ec2_error(code: str) -> str:
    return f"<Response><Errors><Error><Code>{code}</Code><Message>No.</Message></Error></Errors></Response>"


def test_a_bucket_that_is_there(account: Account):
    preflight.check_bucket(account, "here")


def test_a_bucket_that_is_missing(account: Account):
    with pytest.raises(errors.BucketUnusable, match=r"There is no bucket nowhere\.") as caught:
        preflight.check_bucket(account, "nowhere")
    assert "NoSuchBucket" in caught.value.checked


def test_a_bucket_of_another_region(in_session: Endpoint):  # noqa: F811
    with pytest.raises(errors.BucketUnusable, match=f"is in {REGION}, the cluster would be in ap-south-1"):
        preflight.check_bucket(Account.connect("ap-south-1"), "here")


def test_a_bucket_of_somebody_else(account: Account):
    s3 = account.client("s3")
    asked: list[str] = []
    s3.meta.events.register(
        "before-call.s3.GetBucketLocation",
        lambda params, **_: asked.append(params["headers"]["x-amz-expected-bucket-owner"]),
    )
    answer(s3, "GetBucketLocation", 403, S3_ERROR.format("AccessDenied"))
    with pytest.raises(errors.BucketUnusable, match="is another account's, or") as caught:
        preflight.check_bucket(account, "here")
    assert asked == [account.id]
    assert account.id in caught.value.checked
    assert account.arn in caught.value.checked


def test_s3_out_of_order_is_no_fault_of_the_bucket(account: Account):
    answer(account.client("s3"), "GetBucketLocation", 400, S3_ERROR.format("InvalidRequest"))
    with pytest.raises(errors.AwsRefused):
        preflight.check_bucket(account, "here")


def test_all_is_there(account: Account, things: Things):
    assert preflight.check_cluster(account, request_for(things)) == []


def test_nothing_is_asked_for_but_what_the_request_names(account: Account, things: Things):
    request = request_for(things, subnet=None, security_groups={}, key_name=None)
    assert preflight.check_cluster(account, request) == []


MISSING = {
    "release": ({"label": "emr-7.99.0"}, "emr-7.99.0", "--isolated-emr-release"),
    "type": ({"instance_type": "m99.huge"}, "does not run on m99.huge", "--isolated-emr-instance-type"),
    "application": (
        {"applications": ("Spark", "Sprak")},
        "no application Sprak",
        "isolated_emr_applications",
    ),
    "subnet": (
        {"subnet": "subnet-01234567", "security_groups": {}},
        "'subnet-01234567' does not exist",
        "--isolated-emr-subnet",
    ),
    "group": (
        {"security_groups": {"ServiceAccessSecurityGroup": "sg-01234567"}},
        "sg-01234567",
        "isolated_emr_security_groups",
    ),
    "group of a list": (
        {"security_groups": {"AdditionalMasterSecurityGroups": "sg-01234567"}},
        "sg-01234567",
        "isolated_emr_security_groups",
    ),
    "key": ({"key_name": "yours"}, "yours", "--isolated-emr-key-name"),
    "role": ({"service_role": "nobody"}, "nobody", "--isolated-emr-service-role"),
    "profile": ({"instance_profile": "nothing"}, "nothing", "--isolated-emr-instance-profile"),
}


@pytest.mark.parametrize("which", MISSING)
def test_what_is_missing_is_named_with_its_cure(account: Account, things: Things, which: str):
    settings, finding, cure = MISSING[which]
    with pytest.raises(errors.ClusterRefused) as caught:
        preflight.check_cluster(account, request_for(things, **settings))
    assert finding in caught.value.checked
    assert cure in caught.value.cure
    assert ";" not in caught.value.checked


def test_all_that_is_missing_is_named_at_once(account: Account, things: Things):
    settings: dict[str, Any] = {}
    for each, _, _ in MISSING.values():
        settings |= {key: value for key, value in each.items() if key != "label"}
    settings["security_groups"] = {
        "ServiceAccessSecurityGroup": "sg-01234567",
        "AdditionalMasterSecurityGroups": "sg-76543210",
    }
    with pytest.raises(errors.ClusterRefused) as caught:
        preflight.check_cluster(account, request_for(things, **settings))
    for word in (
        "m99.huge",
        "Sprak",
        "subnet-01234567",
        "sg-01234567",
        "sg-76543210",
        "yours",
        "nobody",
        "nothing",
    ):
        assert word in caught.value.checked
    assert "DescribeSubnets" in caught.value.checked
    assert caught.value.cure.count("isolated_emr_security_groups") == 1


def test_groups_of_another_network(account: Account, things: Things):
    ec2 = account.client("ec2")
    network = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="far", Description="far", VpcId=network)["GroupId"]
    request = request_for(things, security_groups={"ServiceAccessSecurityGroup": group})
    with pytest.raises(errors.ClusterRefused, match="cannot be had") as caught:
        preflight.check_cluster(account, request)
    assert f"{group} is of {network}, the subnet of vpc-" in caught.value.checked


def test_a_profile_without_a_role(account: Account, things: Things):
    account.client("iam").create_instance_profile(InstanceProfileName="empty")
    with pytest.raises(errors.ClusterRefused) as caught:
        preflight.check_cluster(account, request_for(things, instance_profile="empty"))
    assert caught.value.checked == "GetInstanceProfile: empty has no role"
    account.client("iam").delete_instance_profile(InstanceProfileName="empty")


def test_types_are_those_that_a_hook_chose(account: Account, things: Things):
    request = request_for(things)
    del request["Instances"]["InstanceGroups"]
    fleet = {"InstanceFleetType": "MASTER", "InstanceTypeConfigs": [{"InstanceType": "m99.fleet"}]}
    request["Instances"] |= {"InstanceFleets": [fleet], "MasterInstanceType": "m99.master"}
    with pytest.raises(errors.ClusterRefused) as caught:
        preflight.check_cluster(account, request)
    assert "m99.fleet" in caught.value.checked
    assert "m99.master" in caught.value.checked


def test_what_the_credentials_may_not_look_at_is_put_up_with(account: Account, things: Things):
    answer(account.client("ec2"), "DescribeSubnets", 403, ec2_error("UnauthorizedOperation"))
    answer(
        account.client("emr"),
        "DescribeReleaseLabel",
        400,
        json.dumps({"__type": "AccessDeniedException", "Message": "No."}),
    )
    answer(
        account.client("iam"),
        "GetRole",
        403,
        "<ErrorResponse><Error><Code>AccessDenied</Code><Message>No.</Message></Error></ErrorResponse>",
    )
    words = "not checked before the launch, as the credentials may not: the"
    assert preflight.check_cluster(account, request_for(things)) == [
        f"{words} release {RELEASE}",
        f"{words} subnet {things.subnet}",
        f"{words} role emr",
    ]


@pytest.mark.parametrize(
    ("told", "region"), [("", "us-east-1"), ("EU", "eu-west-1"), ("eu-central-1", "eu-central-1")]
)
def test_a_region_has_old_names(in_session: Endpoint, told: str, region: str):  # noqa: F811
    account = Account.connect(region)
    place = f'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{told}</LocationConstraint>'
    answer(account.client("s3"), "GetBucketLocation", 200, place)
    preflight.check_bucket(account, "any")


def test_all_pages_are_read(account: Account, things: Things):
    emr = account.client("emr")
    first = emr.list_supported_instance_types(ReleaseLabel=RELEASE)
    second = emr.list_supported_instance_types(ReleaseLabel=RELEASE, Marker=first["Marker"])
    last = second["SupportedInstanceTypes"][-1]["Type"]
    assert preflight.check_cluster(account, request_for(things, instance_type=last)) == []


def test_a_subnet_that_is_too_small(account: Account, things: Things):
    ec2 = account.client("ec2")
    network = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=network, CidrBlock="10.8.0.0/28")["Subnet"]["SubnetId"]
    fits = request_for(things, subnet=subnet, security_groups={}, instance_count=11)
    assert preflight.check_cluster(account, fits) == []
    too_many = request_for(things, subnet=subnet, security_groups={}, instance_count=12)
    with pytest.raises(errors.ClusterRefused) as caught:
        preflight.check_cluster(account, too_many)
    assert caught.value.checked == f"DescribeSubnets: {subnet} has 11 free addresses for 12 instances"


def test_credentials_that_ended_are_no_finding(account: Account, things: Things):
    answer(account.client("ec2"), "DescribeSubnets", 400, ec2_error("RequestExpired"))
    with pytest.raises(errors.CredentialsUnusable):
        preflight.check_cluster(account, request_for(things))


def refusal(code: str, message: str) -> errors.ClusterRefused:
    return refused(ClientError({"Error": {"Code": code, "Message": message}}, "RunJobFlow"))


def test_a_refusal_has_awss_words_and_ours():
    error = refusal("ValidationException", "InstanceProfile is required for creating cluster.")
    assert error.checked == (
        "RunJobFlow: AWS says ValidationException: InstanceProfile is required for creating cluster."
    )
    assert "--isolated-emr-instance-profile" in error.cure


def test_a_refusal_that_nobody_knows_has_awss_words():
    error = refusal("ValidationException", "Today is Tuesday.")
    assert "Today is Tuesday." in error.checked
    assert error.cure.startswith("Mend what AWS names")


# What AWS has answered to people.
REFUSALS = [
    ("ValidationException", "Invalid InstanceProfile: EMR_EC2_DefaultRole.", "create-default-roles"),
    ("ValidationException", "The supplied release label is invalid: emr-9.9.9.", "--isolated-emr-release"),
    (
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/a is not authorized to perform: iam:PassRole on resource: "
        "arn:aws:iam::1:role/EMR_DefaultRole because no identity-based policy allows the iam:PassRole action",
        "iam:PassRole",
    ),
    (
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/a is not authorized to perform: iam:CreateServiceLinkedRole",
        "create-service-linked-role",
    ),
    (
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/a is not authorized to perform: elasticmapreduce:RunJobFlow",
        "docs/emr-iam.md",
    ),
    (
        "ValidationException",
        "Subnet is required : The specified instance type m5.xlarge can only be used in a VPC.",
        "--isolated-emr-subnet",
    ),
]


@pytest.mark.parametrize(("code", "message", "cure"), REFUSALS)
def test_a_refusal_has_a_cure(code: str, message: str, cure: str):
    assert cure in refusal(code, message).cure


REASONS = [
    (
        "INTERNAL_ERROR",
        "The request to create the EMR cluster or add EC2 instances to it failed. The number of vCPUs for instance type "
        "m5.xlarge exceeds the EC2 service quota for that type. Request a service quota increase for your AWS account or choose a "
        "different instance type and retry the request.",
        "Ask for a higher quota",
    ),
    (
        "VALIDATION_ERROR",
        "The requested instance type c4.large is not supported in the requested availability zone.",
        "--isolated-emr-instance-type",
    ),
    ("VALIDATION_ERROR", "EMR service role arn:aws:iam::1:role/x is invalid", "--isolated-emr-service-role"),
    (
        "VALIDATION_ERROR",
        "Service role arn:aws:iam::1:role/EMR_DefaultRole has insufficient EC2 permissions",
        "for-use-with-amazon-emr-managed-policies",
    ),
    ("VALIDATION_ERROR", "The security group 'sg-9cb48144' does not exist", "isolated_emr_security_groups"),
    (
        "VALIDATION_ERROR",
        "The VPC/subnet configuration was invalid: DNS is not enabled.",
        "--isolated-emr-subnet",
    ),
    (
        "BOOTSTRAP_FAILURE",
        "On the master instance (i-96c21a39), bootstrap action 1 returned a non-zero return code",
        "the run's own timer",
    ),
    (
        "BOOTSTRAP_FAILURE",
        "Master instance (i-96c21a39) failed attempting to download bootstrap action 1 file from S3",
        "the run's own timer",
    ),
    (
        "BOOTSTRAP_FAILURE",
        "On the master instance (i-96c21a39), bootstrap action 12 timed out executing",
        "bootstrap-actions/NUMBER/",
    ),
    (
        "BOOTSTRAP_FAILURE",
        "On the master instance (i-0ddd5cacbc6b0082c), application provisioning timed out",
        "isolated_emr_configurations",
    ),
    (
        "INTERNAL_ERROR",
        "Failed to provision instances due to throttling from Amazon EC2",
        "Wait, and run again",
    ),
    ("INTERNAL_ERROR", "An internal error occurred.", "Run again"),
    ("USER_REQUEST", "Terminated by user request", "TerminateJobFlows"),
    ("", "", "Mend what AWS names"),
]


@pytest.mark.parametrize(("code", "message", "cure"), REASONS)
def test_a_cluster_that_ended_early_has_a_cure(code: str, message: str, cure: str):
    assert cure in cure_for({"StateChangeReason": {"Code": code, "Message": message}})
    assert cure in cure_for({"Code": code, "Message": message})


# https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-troubleshoot-error-errordetail.html
DETAILS = [
    ("INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ", "another availability zone"),
    ("INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY", "--isolated-emr-spot"),
    ("INTERNAL_ERROR_SPOT_NO_CAPACITY_PRIMARY", "--isolated-emr-spot"),
    ("VALIDATION_ERROR_INVALID_SSH_KEY_NAME", "--isolated-emr-key-name"),
    ("VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED", "--isolated-emr-instance-type"),
    ("VALIDATION_ERROR_SUBNET_NOT_FROM_ONE_VPC", "--isolated-emr-subnet"),
    ("VALIDATION_ERROR_SECURITY_GROUP_NOT_FROM_ONE_VPC", "isolated_emr_security_groups"),
]


@pytest.mark.parametrize(("code", "cure"), DETAILS)
def test_details_say_more_than_the_reason(code: str, cure: str):
    status = {
        "StateChangeReason": {"Code": "INTERNAL_ERROR", "Message": "An internal error occurred."},
        "ErrorDetails": [{"ErrorCode": code, "ErrorMessage": "Failed."}],
    }
    assert cure in cure_for(status)
