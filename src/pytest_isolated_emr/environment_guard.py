"""Exchanges environment variables for the time of a session, and puts back exactly what was there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


class EnvironmentGuard:
    """Hides some variables of this process and sets others.

    The variables that it answers for are those that ``drop`` names and those in ``set_``. Once restored they
    are as before, whatever happened to them meanwhile; all others stay as they are then.

    :param drop: says of a variable's name whether code under test must not see it.
    :param set_: what it sees instead.
    """

    def __init__(self, drop: Callable[[str], bool], set_: Mapping[str, str]) -> None:
        self._drop = drop
        self._set = dict(set_)
        self._saved: dict[str, str] | None = None
        self._saved_session: Any = None

    def apply(self) -> None:
        """Exchange the variables; nothing happens if they are already."""
        if self._saved is not None:
            return
        self._saved = {name: value for name, value in os.environ.items() if self._covers(name)}
        for name in self._saved:
            del os.environ[name]
        os.environ.update(self._set)
        self._saved_session = _exchange_default_session(None)

    def restore(self) -> None:
        """Put back what was there; nothing happens if it is already."""
        if self._saved is None:
            return
        for name in [name for name in os.environ if self._covers(name) and name not in self._saved]:
            del os.environ[name]
        os.environ.update(self._saved)
        self._saved = None
        _exchange_default_session(self._saved_session)
        self._saved_session = None

    def _covers(self, name: str) -> bool:
        return name in self._set or self._drop(name)


def _exchange_default_session(session: Any) -> Any:
    """Set boto3's default session, which has read the variables of its time, and return the former one."""
    boto3 = sys.modules.get("boto3")
    if boto3 is None:
        return None
    former = getattr(boto3, "DEFAULT_SESSION", None)
    boto3.DEFAULT_SESSION = session  # type: ignore[attr-defined]
    return former
