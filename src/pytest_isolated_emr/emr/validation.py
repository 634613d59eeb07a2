"""What EMR checks before it looks at anything else: that a request has the shape that its API model says.

The model is botocore's. AWS words such errors alike in all of its JSON services.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
from botocore.model import Shape

from pytest_isolated_emr.emr.errors import ValidationException


@cache
def _input_shape(operation: str) -> Shape:
    model = botocore.session.get_session().get_service_model("emr")
    return model.operation_model(operation).input_shape


def without_nulls(value: Any) -> Any:
    """Return what was asked for without members that are null: to AWS they are not there.

    :param value: a request, or a part of it, as JSON has it.
    """
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def check_shape(operation: str, request: dict[str, Any]) -> None:
    """Check that members that must be there are, that values are of their kind, and that words are known.

    :param operation: such as ``RunJobFlow``.
    :param request: what was asked for, as JSON has it.
    :raises ValidationException: something is wrong; all of it is named.
    """
    found: list[str] = []
    _check(_input_shape(operation), request, "", found)
    if found:
        errors = "error" if len(found) == 1 else "errors"
        raise ValidationException(f"{len(found)} validation {errors} detected: {'; '.join(found)}")


def as_shape(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return a request with numbers and truth values in the place of their texts, checked.

    :param operation: such as ``RunJobFlow``.
    :param request: what was asked for, in a template say, where all of it may be text.
    :raises ValidationException: something is wrong.
    """
    read: dict[str, Any] = _read(_input_shape(operation), request)
    check_shape(operation, read)
    return read


def _read(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            key: _read(shape.members[key], item) if key in shape.members else item
            for key, item in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_read(shape.member, item) for item in value]
    if isinstance(value, str):
        if shape.type_name in ("integer", "long") and value.lstrip("-").isdigit():
            return int(value)
        if shape.type_name == "boolean" and value.lower() in ("true", "false"):
            return value.lower() == "true"
    return value


def _check(shape: Any, value: Any, path: str, found: list[str]) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "structure": dict,
        "list": list,
        "map": dict,
        "string": str,
        "boolean": bool,
        "integer": int,
        "long": int,
        "double": (int, float),
    }
    kind = kinds.get(shape.type_name)
    if kind is not None and not isinstance(value, kind):
        raise ValidationException(f"Expected {shape.type_name} at '{path}', but got {type(value).__name__}.")
    if shape.type_name == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                found.append(
                    f"Value null at '{_at(path, name)}' failed to satisfy constraint: Member must not be null"
                )
        for name, member in shape.members.items():
            if value.get(name) is not None:
                _check(member, value[name], _at(path, name), found)
    elif shape.type_name == "list":
        for number, item in enumerate(value, 1):
            _check(shape.member, item, f"{path}.{number}.member", found)
    elif shape.type_name == "map":
        for item in value.values():
            _check(shape.value, item, f"{path}.value", found)
    elif shape.type_name == "string":
        _check_string(shape, value, path, found)
    elif shape.type_name == "integer":
        _check_integer(shape, value, path, found)


def _check_integer(shape: Any, value: int, path: str, found: list[str]) -> None:
    problem = f"Value '{value}' at '{path}' failed to satisfy constraint: Member must have value"
    minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
    if minimum is not None and value < minimum:
        found.append(f"{problem} greater than or equal to {minimum}")
    if maximum is not None and value > maximum:
        found.append(f"{problem} less than or equal to {maximum}")


def _check_string(shape: Any, value: str, path: str, found: list[str]) -> None:
    problem = f"Value '{value}' at '{path}' failed to satisfy constraint: Member must"
    if shape.enum and value not in shape.enum:
        found.append(f"{problem} satisfy enum value set: [{', '.join(shape.enum)}]")
    maximum = shape.metadata.get("max")
    if maximum is not None and len(value) > maximum:
        found.append(f"{problem} have length less than or equal to {maximum}")


def _at(path: str, name: str) -> str:
    member = name[0].lower() + name[1:]
    return f"{path}.{member}" if path else member
