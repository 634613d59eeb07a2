"""What an isolated run has of Spark, wherever that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pytest_isolated_emr.spark.base import Runtime


class SparkOfRun(Protocol):
    """One process's part of the run's Spark.

    :ivar runtime: PySpark as tests have it.
    """

    runtime: Runtime

    def header(self) -> list[str]:
        """Return what the header says of it, in parts; empty ones are left out."""

    def begin(self) -> None:
        """Begin to start it, while pytest collects; not called where pytest only collects.

        :raises IsolatedEmrError: it cannot be had.
        """

    def item_collected(self, item: Any) -> None:
        """Take note of a test.

        :param item: pytest's.
        """

    def has_collected(self, items: Sequence[Any]) -> None:
        """Know all tests that will run: at least one.

        :param items: pytest's.
        :raises IsolatedEmrError: it cannot be had.
        """

    def conf(self) -> dict[str, str]:
        """Return the settings that it starts with."""

    def warm_later_runs(self) -> str:
        """Make what is missing for a quick start of later runs, once the tests of this one are over; return what is being
        made, empty for nothing."""

    def uninstall(self) -> None:
        """Let go of it, and leave this process as it was."""
