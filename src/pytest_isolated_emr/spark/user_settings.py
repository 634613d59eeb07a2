"""Settings in the code that makes a Spark session or context, without those that lead out of the session.

Drivers of steps import this too, in whatever Python they run: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_isolated_emr.spark import properties

#: What Spark shows in the place of a secret.
_REDACTED = "(redacted)"


def leave_out(options: dict[str, Any]) -> list[str]:
    """Take from a builder's options those that lead out of the session, and return their names.

    :param options: of ``SparkSession.builder``.
    """
    left_out = properties.split_protected({key: str(value) for key, value in options.items()})[1]
    for key in left_out:
        del options[key]
    return left_out


def settle(jconf: Any, own: Mapping[str, str]) -> list[str]:
    """Give a new context the session's settings where the code's would lead out, and return the names of those.

    :param jconf: the ``SparkConf`` of the JVM.
    :param own: the settings that the JVM started with.
    """
    # One question to the JVM for all of them, where one for each took a tenth of a second.
    lines = (line.partition("=") for line in jconf.toDebugString().splitlines())
    settings = {key: value for key, _, value in lines}
    left_out = []
    for key in sorted(settings.keys() | own.keys()):
        if not properties.is_protected(key, settings.get(key, "")):
            continue
        value, mine = settings.get(key), own.get(key)
        if value is not None and value.endswith(_REDACTED):
            value = jconf.get(key)
        if value == mine:
            continue
        left_out.append(key)
        if mine is None:
            jconf.remove(key)
        else:
            jconf.set(key, mine)
    return left_out
