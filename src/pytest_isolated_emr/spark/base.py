"""What a runtime is: Spark as one process of the session has it, by whatever way PySpark reaches it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Isolation(Protocol):
    """Gives tests sessions of their own in one running Spark."""

    shared: Any

    def fresh_session(self) -> AbstractContextManager[Any]:
        """Give a test a session of its own, and take away what it leaves."""


class Runtime(Protocol):
    """This process's Spark."""

    def install(self) -> None:
        """Patch PySpark, so that its sessions are the session's."""

    def uninstall(self) -> None:
        """Let go of Spark and leave PySpark as it was."""

    @property
    def is_remote(self) -> bool:
        """Whether sessions are those of Spark Connect."""

    @property
    def is_started(self) -> bool:
        """Whether the keeper was asked for a Spark."""

    @property
    def is_used(self) -> bool:
        """Whether there is a session, or was until its Spark died."""

    @property
    def is_connected(self) -> bool:
        """Whether this process has a connection to its Spark, or had one until that died; a session comes after it."""

    def start(self, options: Mapping[str, str] | None = None) -> None:
        """Have the keeper start a Spark, and go on meanwhile.

        :param options: settings that only a new one takes, in addition to the defaults.
        """

    def give_up(self) -> None:
        """End a Spark that nobody uses."""

    def status(self) -> dict[str, Any]:
        """Return whether it lives, how it ended if not, its log, and what a failed test should say of it."""

    def end_context(self) -> None:
        """End what runs, so that the next session has other settings that hold for all of Spark."""

    def has_collected(self, items: Iterable[Any]) -> None:
        """Know the tests that will run.

        :param items: pytest's.
        """

    def running_session(self) -> Any:
        """Return the session that ``getOrCreate`` would return, if there is one."""

    def isolation_of(self, shared: Any) -> Isolation:
        """Return what gives tests sessions of their own beside a shared one."""
