"""What the IAM policies of this backend have in common: names of resources, and texts in the place of patterns.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_emr.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

#: The version that has policy variables, ``${*}`` among them.
_VERSION = "2012-10-17"

Statement = dict[str, Any]

#: What AddTags is asked for as a part of RunJobFlow: AWS names ``cluster/*`` in its refusals, as the cluster has no id
#: yet. Written so, it is that text and no pattern: no cluster that is there is meant. To be formatted with the partition.
NEW_CLUSTER = "arn:{partition}:elasticmapreduce:*:*:cluster/${{*}}"


def document(statements: Sequence[Statement], *, indent: int | None = None) -> str:
    """Return a policy as JSON.

    :param statements: its statements.
    :param indent: for readers; None for as few characters as there can be.
    """
    separators = (",", ":") if indent is None else None
    return json.dumps(
        {"Version": _VERSION, "Statement": list(statements)}, indent=indent, separators=separators
    )


def literal(text: str) -> str:
    """Return a text as a policy has it where it could have a pattern.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html

    :param text: such as a prefix of a bucket, which may have any character.
    """
    return "".join(f"${{{character}}}" if character in "*?$" else character for character in text)


def allow(
    actions: Sequence[str], resources: Sequence[str], **conditions: Mapping[str, str | list[str]]
) -> Statement:
    """Return a statement that allows.

    :param actions: of IAM, such as ``s3:GetObject``.
    :param resources: patterns of ARNs.
    :param conditions: their keys and values, by operator.
    """
    statement: Statement = {"Effect": "Allow", "Action": _short(actions), "Resource": _short(resources)}
    if conditions:
        statement["Condition"] = conditions
    return statement


def deny(
    actions: Sequence[str], where: Mapping[str, str], **conditions: Mapping[str, str | list[str]]
) -> Statement:
    """Return a statement that denies, whatever else allows.

    :param actions: of IAM.
    :param where: ``Resource`` or ``NotResource``, and a pattern of ARNs.
    :param conditions: their keys and values, by operator.
    """
    return {"Effect": "Deny", "Action": _short(actions), **where, "Condition": conditions}


def _short(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def role_arn(partition: str, role: str) -> str:
    """Return the ARN of a role, which can only be the own account's where it is passed.

    :param partition: such as ``aws``.
    :param role: its name, with its path if it has one, or its ARN.
    """
    return role if role.startswith("arn:") else f"arn:{partition}:iam::*:role/{role.lstrip('/')}"
