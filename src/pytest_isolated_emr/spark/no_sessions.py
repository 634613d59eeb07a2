"""Spark where there is none for this process: on a cluster whose release has no Spark Connect sessions.

A suite's modules can be imported, PySpark among what they import. What asks for Spark is told the choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import pytest

from pytest_isolated_emr import errors
from pytest_isolated_emr.spark.base import Isolation
from pytest_isolated_emr.spark.runtime import import_pyspark

#: The first release that has them.
FIRST_RELEASE = "emr-spark-8.0.0"


class NoSessionsRuntime:
    """What stands for this process's Spark, and says why there is none.

    :param label: the release's.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._patches = pytest.MonkeyPatch()

    def install(self) -> None:
        """Patch PySpark, so that it starts no JVM of its own on this machine."""
        context, session, _udf = import_pyspark()
        self._patches.setattr(context, "launch_gateway", self._refuse)
        self._patches.setattr(context.SparkContext, "__init__", self._refuse)
        self._patches.setattr(session.SparkSession.Builder, "getOrCreate", self._refuse)
        if hasattr(session.SparkSession.Builder, "create"):
            self._patches.setattr(session.SparkSession.Builder, "create", self._refuse)

    def uninstall(self) -> None:
        """Leave PySpark as it was."""
        self._patches.undo()

    @property
    def is_remote(self) -> bool:
        """No: there is none."""
        return False

    @property
    def is_started(self) -> bool:
        """Never."""
        return False

    @property
    def is_used(self) -> bool:
        """Never."""
        return False

    @property
    def is_connected(self) -> bool:
        """Never."""
        return False

    def start(self, options: Mapping[str, str] | None = None) -> None:
        """Do nothing: a test may ask for no Spark.

        :param options: what it would be started with.
        """

    def give_up(self) -> None:
        """Do nothing."""

    def status(self) -> dict[str, Any]:
        """Return that nothing has ended."""
        return {"alive": True, "exit": "", "log": "", "note": ""}

    def end_context(self) -> None:
        """Do nothing."""

    def has_collected(self, items: Iterable[Any]) -> None:
        """Do nothing.

        :param items: pytest's.
        """

    def running_session(self) -> None:
        """Return that there is none."""

    def isolation_of(self, shared: Any) -> Isolation:
        """Say why there is no session.

        :raises NoConnectSessions: always.
        """
        self._refuse(shared)

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise errors.NoConnectSessions(
            f"The release {self._label} has no Spark Connect sessions, and so no Spark for the tests' own process.",
            checked=f"the release's label: sessions came with {FIRST_RELEASE}",
            cure=f"Choose {FIRST_RELEASE} or later (--isolated-emr-release), use run_step, "
            "or run these tests on the backend local or docker.",
        )
