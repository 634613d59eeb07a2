"""The release labels that Amazon gives out, older ones than those with details too. The lists are moto's, read from
Amazon's own answers, region by region."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import moto.emr
from moto.utilities.utils import load_resource

from pytest_isolated_emr.emr import releases
from pytest_isolated_emr.emr.errors import ValidationException

_RESOURCES = "emr/resources"


@cache
def of_region(region: str) -> tuple[str, ...]:
    """Return the labels of a region, the newest first as Amazon lists them; of all regions where it has no list.

    :param region: such as ``us-east-1``.
    """
    if (_directory() / f"release-labels-{region}.json.gz").is_file():
        listed = load_resource(f"{_RESOURCES}/release-labels-{region}.json")
    else:
        listed = sorted(everywhere(), key=_version, reverse=True)
    return tuple(listed)


@cache
def everywhere() -> frozenset[str]:
    """Return the labels of all regions, and those with details."""
    names = [path.name.removesuffix(".gz") for path in _directory().glob("release-labels-*.json.gz")]
    labels = [label for name in names for label in load_resource(f"{_RESOURCES}/{name}")]
    return frozenset([*labels, *releases.known()])


@cache
def instance_types(label: str) -> tuple[str, ...]:
    """Return the names of the instance types that a release runs on; none where it has no list.

    :param label: such as ``emr-7.10.0``.
    """
    if not (_directory() / f"instance-types-{label}.json.gz").is_file():
        return ()
    return tuple(load_resource(f"{_RESOURCES}/instance-types-{label}.json"))


def check(label: str) -> None:
    """Refuse a label that was never given out.

    :param label: such as ``emr-7.10.0``.
    :raises ValidationException: there is no such release.
    """
    if label not in everywhere():
        raise ValidationException(f"The supplied release label is invalid: {label}.")


def _version(label: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", label)]


def _directory() -> Path:
    return Path(moto.emr.__file__).parent / "resources"
