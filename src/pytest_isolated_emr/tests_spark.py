"""Spark as the tests of one process use it: shared, fresh for a test, with a marker's settings, anew after a death."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr import errors
from pytest_isolated_emr.kept_logs import KeptLogs
from pytest_isolated_emr.spark import properties
from pytest_isolated_emr.spark.base import Isolation, Runtime

MARKER = "isolated_emr"
_LOG_TAIL = 6000


class TestsSpark:
    """The Spark of this process's tests.

    :param runtime: this process's Spark.
    :param kept_logs: tells where its log will be.
    """

    __test__ = False

    def __init__(self, runtime: Runtime, kept_logs: KeptLogs) -> None:
        self._runtime = runtime
        self._kept_logs = kept_logs
        self._context_conf: dict[str, str] = {}
        self._session_conf: dict[str, str] = {}
        self._holders: dict[Any, tuple[pytest.FixtureDef[Any], pytest.FixtureRequest]] = {}
        self._log_start = 0
        self._isolation: Isolation | None = None

    def prepare(self, item: pytest.Item) -> None:
        """See to it that the Spark that a test will meet lives and has the settings that the test is marked with.

        :param item: the test, before its fixtures are set up.
        """
        runtime = self._runtime
        wanted = _marked(item)
        # Without the fixture there is no session of the test's own that could take them.
        own_session = "spark" in getattr(item, "fixturenames", ())
        for_context = {
            k: v for k, v in wanted.items() if not (own_session and properties.is_session_setting(k))
        }
        self._session_conf = {key: value for key, value in wanted.items() if key not in for_context}
        status = runtime.status() if runtime.is_started else None
        if (status is not None and runtime.is_connected and not status["alive"]) or (
            for_context != self._context_conf and (for_context or self._context_conf)
        ):
            self._replace(item)
        self._context_conf = for_context
        log = Path(status["log"]) if status is not None and status["log"] else None
        self._log_start = log.stat().st_size if log is not None and log.exists() else 0

    def shared_session(self) -> Any:
        """Return the session that all tests share, made now if there is none."""
        running = self._runtime.running_session()
        if running is not None and not self._context_conf:
            # What getOrCreate would return, without its dozen questions to the JVM.
            return running
        from pyspark.sql import SparkSession

        builder = SparkSession.builder
        for key, value in self._context_conf.items():
            builder = builder.config(key, value)
        return builder.getOrCreate()

    @contextmanager
    def fresh_session(self) -> Iterator[Any]:
        """Give one test a session of its own, and take away what it leaves."""
        shared = self.shared_session()
        if self._isolation is None or self._isolation.shared is not shared:
            self._isolation = self._runtime.isolation_of(shared)
        with self._isolation.fresh_session() as session:
            for key, value in self._session_conf.items():
                session.conf.set(key, value)
            yield session

    def remember(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
        """Note a fixture whose value is of this Spark: with another Spark it has to be set up anew.

        :param fixturedef: the fixture, set up just now.
        :param request: its request.
        """
        result = fixturedef.cached_result
        if result is not None and _is_of_spark(result[0]):
            self._holders[fixturedef] = (fixturedef, request)

    def report(self) -> list[tuple[str, str]]:
        """Return what a failed test's report should say of Spark: sections of a title and a text."""
        if not self._runtime.is_started:
            return []
        status = self._runtime.status()
        sections = []
        # A Spark on a cluster has its log there.
        log = Path(status["log"]) if status["log"] else None
        output = _tail(log, self._log_start) if log is not None else ""
        if not status["alive"] and self._runtime.is_connected:
            error = errors.SparkDied(
                f"Spark ended in this test: {status['exit']}.",
                checked="its process; its last output is below"
                if log is not None
                else "its state on the cluster",
                cure="Look for System.exit, a native crash or too little memory (spark.driver.memory).",
            )
            sections.append(("isolated-emr", f"{error}\nThe next test gets a new one."))
        if status["note"]:
            sections.append(("isolated-emr", status["note"]))
        if log is not None and output:
            sections.append(("Spark driver log", f"{output}\n({self._kept_logs.words_for(log)})"))
        return sections

    def _replace(self, item: pytest.Item) -> None:
        """Let go of the running Spark; fixtures that hold it are set up anew when they are asked for next."""
        for fixturedef, request in self._holders.values():
            fixturedef.finish(request)  # type: ignore[arg-type]
        self._holders.clear()
        self._runtime.end_context()


def _marked(item: pytest.Item) -> dict[str, str]:
    """Return the settings of a test's markers; the closest wins."""
    wanted: dict[str, str] = {}
    for marker in reversed(list(item.iter_markers(MARKER))):
        unknown = marker.kwargs.keys() - {"conf", "packages"}
        conf: Mapping[str, object] = marker.kwargs.get("conf") or {}
        packages = marker.kwargs.get("packages") or []
        if marker.args or unknown or not isinstance(conf, Mapping) or isinstance(packages, str):
            raise pytest.UsageError(
                f"{item.nodeid}: @pytest.mark.{MARKER} takes conf={{…}} and packages=[…], "
                f"not {marker.args or ''}{marker.kwargs or ''}"
            )
        wanted |= {key: properties.text_of(value) for key, value in conf.items()}
        if packages:
            wanted["spark.jars.packages"] = ",".join(packages)
    held, left_out = properties.split_protected(wanted)
    if left_out:
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.{MARKER}: {', '.join(left_out)}: it would lead out of the session"
        )
    return held


def _is_of_spark(value: object) -> bool:
    # By name: whatever PySpark's own, and what holds it in a fixture's value directly.
    return type(value).__module__.startswith("pyspark.")


def _tail(log: Path, start: int) -> str:
    try:
        with log.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(start, end - _LOG_TAIL))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
