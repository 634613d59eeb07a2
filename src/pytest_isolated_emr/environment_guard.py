"""Shows a process other environment variables for a while, and puts everything back exactly."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


class EnvironmentGuard:
    """Replaces variables of this process until it is told to put them back.

    :param drop: tells of a name whether code must not see it.
    :param set_: the variables to show instead.
    """

    def __init__(self, drop: Callable[[str], bool], set_: Mapping[str, str]) -> None:
        self._drop = drop
        self._set = dict(set_)
        self._before: dict[str, str] | None = None
        self._boto3_session: Any = None

    def apply(self) -> None:
        """Hide what is to be dropped, and show the guard's own."""
        if self._before is not None:
            return
        self._before = {name: value for name, value in os.environ.items() if self._covers(name)}
        for name in self._before:
            del os.environ[name]
        os.environ.update(self._set)
        # boto3's functions go on with the session that was made by the first of them, and with its keys.
        if boto3 := sys.modules.get("boto3"):
            self._boto3_session, boto3.DEFAULT_SESSION = boto3.DEFAULT_SESSION, None  # type: ignore[attr-defined]

    def restore(self) -> None:
        """Put every variable that the guard covers back to what it was, whatever has happened to it since."""
        if self._before is None:
            return
        for name in [name for name in os.environ if self._covers(name)]:
            del os.environ[name]
        os.environ.update(self._before)
        self._before = None
        if boto3 := sys.modules.get("boto3"):
            boto3.DEFAULT_SESSION, self._boto3_session = self._boto3_session, None  # type: ignore[attr-defined]

    def _covers(self, name: str) -> bool:
        return name in self._set or self._drop(name)
