"""The suites, each run in every way in turns, as whole processes: time to the first result, in all, and of the exit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.modes import Mode
from benchmarks.runs import REPOSITORY, Finished, project, run_pytest
from benchmarks.runs import SUITES as PLACE

FLIGHTS = REPOSITORY / "fixtures" / "flights"
#: The demo's tests that read what is on S3 alone, by their names; the peer has no S3 for Spark.
NEED_S3 = ("test_there_is_a_partition_for_each_month", "test_the_classes_of_delay_cover_every_flight")

Figures = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Suite:
    """Tests to run.

    :param name: for the tables.
    :param lay: puts its files into a directory.
    :param arguments: more arguments for pytest.
    """

    name: str
    lay: Callable[[Path], None]
    arguments: tuple[str, ...] = ()


def _lay(name: str) -> Callable[[Path], None]:
    def lay(directory: Path) -> None:
        shutil.copy(PLACE / name, directory)

    return lay


def _lay_flights(directory: Path) -> None:
    shutil.copytree(FLIGHTS / "flights_pipeline", directory / "flights_pipeline")
    shutil.copy(PLACE / "flights" / "conftest.py", directory)
    for name in ("clean", "enrich", "report"):
        shutil.copy(FLIGHTS / "tests" / f"test_{name}.py", directory)
    (directory / "pytest.ini").write_text("[pytest]\npythonpath = .\n")


ONE, TEN, DEMO, TWO_WORKERS = "one test", "ten tests", "the demo", "ten tests, -n 2"
ALL = [
    Suite(ONE, _lay("test_one.py")),
    Suite(TEN, _lay("test_ten.py")),
    Suite(DEMO, _lay_flights, ("-k", " and ".join(f"not {name}" for name in NEED_S3))),
    Suite(TWO_WORKERS, _lay("test_ten.py"), ("-p", "xdist.plugin", "-n", "2")),
]


def measure(modes: Sequence[Mode], rounds: int) -> dict[str, Figures]:
    """Run every suite in every way, in turns; return seconds by suite, way and figure.

    :param modes: the ways, the peer's among them.
    :param rounds: how often; one more round warms the disk's cache and is not counted.
    """
    found: dict[str, Figures] = {}
    for suite in ALL:
        figures = found[suite.name] = {mode.name: {} for mode in modes}
        for mode in modes:
            if mode.is_warm:
                # It leaves the first spare.
                run(suite, mode)
                mode.await_spare()
        for number in range(rounds + 1):
            for mode in modes:
                measured = run(suite, mode).figures()
                # While it gets ready it is in the way of whatever runs.
                mode.await_spare()
                print(
                    suite.name,
                    mode.name,
                    {key: round(value, 2) for key, value in measured.items()},
                    flush=True,
                )
                for key, value in measured.items() if number else ():
                    figures[mode.name].setdefault(key, []).append(value)
        for mode in modes:
            mode.end_spares()
    return found


def run(suite: Suite, mode: Mode) -> Finished:
    """Run a suite once.

    :param suite: the tests.
    :param mode: the way.
    """
    directory = project(suite.name)
    suite.lay(directory)
    return run_pytest([*mode.arguments, *suite.arguments], directory, mode.environ)
