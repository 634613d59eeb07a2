"""Configurations of a cluster as people write them for EMR: JSON, in a file or in the ini file itself.

https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-configure-apps.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.given_settings import Given

_MEMBERS = {"Classification", "Properties", "Configurations"}


def read(found: Given, base: Path) -> tuple[dict[str, Any], ...]:
    """Return them as RunJobFlow takes them.

    :param found: JSON or a file's path, and the place that it was given in.
    :param base: the directory that a path is relative to.
    :raises pytest.UsageError: there is no such file, or it is not of EMR's form.
    """
    text, place = found
    if not text.startswith(("[", "{")):
        path = base / text
        place = f"{place}: {path}"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise pytest.UsageError(f"{place}: it cannot be read: {error}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise pytest.UsageError(f"{place}: this is not JSON: {error}") from error
    _check(value, place, "the whole")
    return tuple(value)


def _check(value: Any, place: str, where: str) -> None:
    if not isinstance(value, list):
        raise pytest.UsageError(f"{place}: {where} has to be a list of configurations")
    for configuration in value:
        _check_one(configuration, place)


def _check_one(configuration: Any, place: str) -> None:
    name = configuration.get("Classification") if isinstance(configuration, dict) else None
    if not (isinstance(name, str) and name):
        raise pytest.UsageError(f"{place}: {configuration!r} is not a configuration with a Classification")
    unknown = sorted(configuration.keys() - _MEMBERS)
    if unknown:
        raise pytest.UsageError(
            f"{place}: {name!r} has {unknown[0]!r}, which is not one of: {', '.join(sorted(_MEMBERS))}"
        )
    properties = configuration.get("Properties", {})
    if not isinstance(properties, dict):
        raise pytest.UsageError(f"{place}: Properties of {name!r} have to be an object")
    for key, item in properties.items():
        if not isinstance(item, str):
            raise pytest.UsageError(f"{place}: property {key!r} of {name!r} has to be text, not {item!r}")
    _check(configuration.get("Configurations", []), place, f"Configurations of {name!r}")
