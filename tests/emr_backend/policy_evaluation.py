"""What a policy allows, by IAM's rules as far as our policies use them.

moto's own evaluation takes an Allow whose condition fails for a denial, and knows no operator but StringEquals.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Context = Mapping[str, "str | Sequence[str]"]


def decide(policy: str, action: str, resource: str, context: Context) -> bool:
    concerned = [
        statement["Effect"]
        for statement in json.loads(policy)["Statement"]
        if _concerns(statement, action, resource, context)
    ]
    return "Deny" not in concerned and "Allow" in concerned


def _concerns(statement: dict[str, Any], action: str, resource: str, context: Context) -> bool:
    if not _like_any(statement["Action"], action, re.IGNORECASE):
        return False
    if "NotResource" in statement:
        if _like_any(statement["NotResource"], resource):
            return False
    elif not _like_any(statement["Resource"], resource):
        return False
    conditions = statement.get("Condition", {})
    return all(
        _holds(operator, _listed(wanted), context.get(key))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, wanted: Sequence[str], actual: str | Sequence[str] | None) -> bool:
    if operator == "Null":
        return (actual is None) == (wanted[0] == "true")
    if operator == "ForAnyValue:StringLike":
        return any(_like_any(wanted, value) for value in _listed(actual or ()))
    tests: dict[str, Callable[[str], bool]] = {
        "StringEquals": lambda value: value in wanted,
        "StringLike": lambda value: _like_any(wanted, value),
        "ArnLike": lambda value: _like_any(wanted, value),
    }
    if operator.startswith("StringNot"):
        # A key that is not there is not equal.
        return actual is None or not tests[operator.replace("Not", "")](str(actual))
    return actual is not None and tests[operator](str(actual))


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _like_any(patterns: str | Sequence[str], text: str, flags: int = 0) -> bool:
    return any(re.fullmatch(_regex(pattern), text, flags | re.DOTALL) for pattern in _listed(patterns))


def _regex(pattern: str) -> str:
    parts = re.findall(r"\$\{[*?$]\}|.", pattern, re.DOTALL)
    wild = {"*": ".*", "?": "."}
    return "".join(
        re.escape(part[2]) if len(part) == 4 else wild.get(part, re.escape(part)) for part in parts
    )
