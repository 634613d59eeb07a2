"""What the plugin costs where there is nothing to gain: an idle one, and the ``spark`` fixture of each test."""

from __future__ import annotations

import shutil

from benchmarks.modes import IDLE, Mode
from benchmarks.runs import SUITES, project, run_pytest

IDLE_ROUNDS = 40
WITHOUT, WITH = "without", "with"
SETUP, CLEANUP = "set-up", "clean-up"


def measure_idle(rounds: int = IDLE_ROUNDS) -> dict[str, list[float]]:
    """Return milliseconds of pytest runs with one empty test, without the plugin and with it but not its option.

    :param rounds: how many pairs.
    """
    found: dict[str, list[float]] = {WITHOUT: [], WITH: []}
    for number in range(rounds + 1):
        for name, arguments in ((WITHOUT, []), (WITH, IDLE)):
            seconds = _run_empty(arguments)
            if number:
                found[name].append(1000 * seconds)
    return found


def _run_empty(arguments: list[str]) -> float:
    directory = project("empty")
    (directory / "test_empty.py").write_text("def test_empty(): pass\n")
    finished = run_pytest(arguments, directory, {})
    return finished.ended - finished.started


def measure_fixture(mode: Mode) -> dict[str, list[float]]:
    """Return milliseconds of set-up and of clean-up of tests that only ask for ``spark``.

    :param mode: a way to run tests with the fixture.
    """
    directory = project("fixture")
    shutil.copy(SUITES / "test_fixture.py", directory)
    finished = run_pytest(mode.arguments, directory, mode.environ)
    # The first one starts Spark.
    later = [report for report in finished.reports if not report.test.endswith("[0]")]
    return {
        name: [1000 * (report.ended - report.began) for report in later if report.when == when]
        for name, when in ((SETUP, "setup"), (CLEANUP, "teardown"))
    }
