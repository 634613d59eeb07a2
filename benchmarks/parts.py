"""The parts of the bench, each of which can be run without the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import counts, fetched, memory, overhead, s3, spark_settings, step_runs, suites
from benchmarks.growth import part as growth
from benchmarks.homes import Homes
from benchmarks.modes import ARCHIVE, COLD, PEER, WARM, Mode, modes_of
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE

SUITES, IDLE, FIXTURE, MEMORY, COUNTS, STEPS, S3 = (
    "suites",
    "idle",
    "fixture",
    "memory",
    "counts",
    "steps",
    "s3",
)
SETTINGS, GROWTH = "settings", "growth"
CLASSES, S3A_REQUESTS, FETCHED = "classes", "requests", "fetched"


class Bench:
    """What the parts need.

    :param homes: the state roots.
    :param rounds: how often whole runs are repeated.
    :param temporary: an empty directory.
    """

    def __init__(self, homes: Homes, rounds: int, temporary: Path) -> None:
        self.homes = homes
        self.rounds = rounds
        self.temporary = temporary
        self.modes: list[Mode] = modes_of(homes)

    def mode(self, name: str) -> Mode:
        """Return a way to run a suite.

        :param name: the way's.
        """
        return next(mode for mode in self.modes if mode.name == name)

    def suites(self) -> Any:
        """Run the suites in every way."""
        try:
            return suites.measure(self.modes, self.rounds)
        finally:
            self.mode(WARM).end_spares()

    def idle(self) -> Any:
        """Run one empty test with and without the plugin."""
        return overhead.measure_idle()

    def fixture(self) -> Any:
        """Run tests that only ask for ``spark``."""
        return overhead.measure_fixture(self.mode(ARCHIVE))

    def memory(self) -> Any:
        """Look at the processes of a session, a spare and workers."""
        try:
            return memory.measure(mode for mode in self.modes if mode.name != COLD)
        finally:
            self.mode(WARM).end_spares()

    def counts(self) -> Any:
        """Count classes, requests and bytes."""
        empty = self.temporary / "empty"
        return {
            CLASSES: {name: counts.count_classes(self.mode(name)) for name in (PEER, COLD, ARCHIVE)},
            S3A_REQUESTS: counts.count_requests(self.mode(ARCHIVE)),
            FETCHED: fetched.measure(empty, os.environ | {HOME_VARIABLE: str(empty)}),
        }

    def steps(self) -> Any:
        """Run EMR steps beside spark-submit."""
        return step_runs.measure(self.homes.archived)

    def s3(self) -> Any:
        """Ask the endpoint and moto's server."""
        return s3.measure(self.rounds)

    def settings(self) -> Any:
        """Run a suite with settings of Spark and Java, each alone."""
        return spark_settings.measure(self.mode(ARCHIVE), self.rounds)

    def growth(self) -> Any:
        """Run more and more sessions at once, tests in a session, and files in a scratch."""
        return growth.measure(self.mode(ARCHIVE), self.rounds, self.temporary / "queue")


PARTS: Mapping[str, Callable[[Bench], Any]] = {
    SUITES: Bench.suites,
    IDLE: Bench.idle,
    FIXTURE: Bench.fixture,
    MEMORY: Bench.memory,
    COUNTS: Bench.counts,
    STEPS: Bench.steps,
    S3: Bench.s3,
    SETTINGS: Bench.settings,
    GROWTH: Bench.growth,
}
#: Those that ``make bench`` runs: what is kept of Spark's settings was decided once, and growth takes most of an hour.
USUAL: Sequence[str] = [name for name in PARTS if name not in (SETTINGS, GROWTH)]
