"""Files that a test leaves in its scratch: how long pytest's exit takes with them, and when all of the session is gone."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.modes import Mode
from benchmarks.runs import SUITES, project, run_pytest
from pytest_isolated_emr.lifecycle.processes import processes_of
from pytest_isolated_emr.lifecycle.state_root import StateRoot

ON_DISK, ON_S3 = "files on the disk", "objects on S3"
_TESTS = {ON_DISK: "test_files", ON_S3: "test_objects"}
#: Seconds from the end of the test itself to pytest's, its scratch's removal among them; and from pytest's end on.
EXIT, GONE = "test's end to pytest's exit", "exit to all gone"

_PATIENCE_SECONDS = 120.0

Found = dict[str, dict[str, dict[str, list[float]]]]


def measure(mode: Mode, rounds: int, counts: Sequence[int]) -> Found:
    """Return the seconds of each round by the place and the number of files.

    :param mode: a way of ours that leaves no spares.
    :param rounds: how often.
    :param counts: how many files.
    """
    found: Found = {where: {str(count): {} for count in counts} for where in _TESTS}
    for _ in range(rounds):
        for where, test in _TESTS.items():
            for count in counts:
                measured = _run(mode, test, count)
                print(count, where, {key: round(value, 2) for key, value in measured.items()}, flush=True)
                for key, value in measured.items():
                    found[where][str(count)].setdefault(key, []).append(value)
    return found


def _run(mode: Mode, test: str, count: int) -> dict[str, float]:
    directory = project("growth files")
    shutil.copy(SUITES / "growth" / "test_left.py", directory)
    finished = run_pytest(
        [*mode.arguments, f"test_left.py::{test}"], directory, mode.environ | {"BENCH_LEFT": str(count)}
    )
    gone = _wait_until_gone(mode.home, **json.loads((directory / "session.json").read_text()))
    called = next(report.ended for report in finished.reports if report.when == "call")
    return {EXIT: finished.ended - called, GONE: max(0.0, gone - finished.ended)}


def _wait_until_gone(home: Path, run_id: str, keeper: int) -> float:
    """Return when a session's directory was removed and its processes and its keeper had ended, in seconds since the epoch."""
    directory = StateRoot(home).sessions / run_id
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while directory.exists() or psutil.pid_exists(keeper) or processes_of(run_id):
        if time.monotonic() > deadline:
            raise SystemExit(
                f"{directory} or its processes are still there {_PATIENCE_SECONDS:g} s after pytest's exit"
            )
        time.sleep(0.01)
    return time.time()
