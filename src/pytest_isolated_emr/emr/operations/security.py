"""Operations on security configurations and on public access."""

from __future__ import annotations

import json
from typing import Any

from moto.core.utils import utcnow
from moto.emr.models import SecurityConfiguration
from moto.sts.models import sts_backends

from pytest_isolated_emr.emr.errors import InvalidRequestException
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.paging import page

#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-block-public-access.html
_SSH = [{"MinRange": 22, "MaxRange": 22}]


def create_security_configuration(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Keep a security configuration; nothing here is encrypted or authorised by it."""
    name = request["Name"]
    if name in backend.security_configurations:
        raise InvalidRequestException(f"SecurityConfiguration with name '{name}' already exists.")
    try:
        json.loads(request["SecurityConfiguration"])
    except ValueError as error:
        raise InvalidRequestException(f"The security configuration is not valid JSON: {error}") from error
    return _summary(backend.create_security_configuration(name, request["SecurityConfiguration"]))


def describe_security_configuration(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell all of a security configuration."""
    found = backend.get_security_configuration(request["Name"])
    text = found.security_configuration
    # CloudFormation's templates have it as an object.
    return {**_summary(found), "SecurityConfiguration": text if isinstance(text, str) else json.dumps(text)}


def list_security_configurations(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of all security configurations."""
    found = [_summary(configuration) for configuration in list(backend.security_configurations.values())]
    return page(found, "SecurityConfigurations", request)


def delete_security_configuration(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Forget a security configuration."""
    backend.delete_security_configuration(request["Name"])
    return {}


def get_block_public_access_configuration(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell which ports a cluster may open to everybody; without a Put what a new account has."""
    return backend.block_public_access or _block_public_access(
        {"BlockPublicSecurityGroupRules": True, "PermittedPublicSecurityGroupRuleRanges": _SSH},
        f"arn:aws:iam::{backend.account_id}:root",
    )


def put_block_public_access_configuration(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Keep which ports a cluster may open to everybody; none opens one."""
    _, caller, _ = sts_backends[backend.account_id]["global"].get_caller_identity(
        backend.account_id, region=backend.region_name
    )
    configuration = request["BlockPublicAccessConfiguration"]
    backend.block_public_access = _block_public_access(configuration, caller)
    return {}


def get_cluster_session_credentials(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Refuse: nobody logs in to a cluster here."""
    backend.find_cluster(request["ClusterId"])
    raise NotImplementedError("GetClusterSessionCredentials of EMR")


def _block_public_access(configuration: dict[str, Any], caller: str) -> dict[str, Any]:
    return {
        "BlockPublicAccessConfiguration": configuration,
        "BlockPublicAccessConfigurationMetadata": {"CreationDateTime": utcnow(), "CreatedByArn": caller},
    }


def _summary(configuration: SecurityConfiguration) -> dict[str, Any]:
    return {"Name": configuration.name, "CreationDateTime": configuration.creation_date_time}
