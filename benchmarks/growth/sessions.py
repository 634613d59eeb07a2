"""Sessions at once beside the same number one after the other, as whole processes with one state root."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.growth.watch import Watch
from benchmarks.modes import Mode
from benchmarks.runs import TOTAL, project, run_pytest
from benchmarks.suites import ALL, ONE

AT_ONCE, IN_TURN = "at once", "in turn"
MEDIAN, LONGEST = "a session, median", "a session, longest"
AVAILABLE, HELD = "least available, MB", "most held, MB"
FAILED, KILLED = "failed", "killed for memory"

Figures = dict[str, list[float]]

_SUITE = next(suite for suite in ALL if suite.name == ONE)


def measure(mode: Mode, rounds: int, counts: Sequence[int]) -> dict[str, Figures]:
    """Return the figures of each round by the number of sessions.

    :param mode: a way of ours that leaves no spares.
    :param rounds: how often; before them, one run warms the disk's cache.
    :param counts: how many sessions.
    """
    found: dict[str, Figures] = {str(count): {} for count in counts}
    _run(mode, 0, Watch())
    for _ in range(rounds):
        for count in counts:
            measured = {**_at_once(mode, count), IN_TURN: _in_turn(mode, count)}
            print(f"{count} sessions", {key: round(value, 2) for key, value in measured.items()}, flush=True)
            for key, value in measured.items():
                found[str(count)].setdefault(key, []).append(value)
    return found


def _at_once(mode: Mode, count: int) -> dict[str, float]:
    with Watch() as watch, ThreadPoolExecutor(count) as pool:
        started = time.monotonic()
        seconds = list(pool.map(lambda number: _run(mode, number, watch), range(count)))
        total = time.monotonic() - started
    passed = [each for each in seconds if each is not None]
    return {
        AT_ONCE: total,
        # From its start on: waiting for room is a part of it.
        MEDIAN: statistics.median(passed or [total]),
        LONGEST: max(passed or [total]),
        AVAILABLE: watch.least_available,
        HELD: watch.most_held,
        FAILED: float(count - len(passed)),
        KILLED: float(watch.killed),
    }


def _in_turn(mode: Mode, count: int) -> float:
    started = time.monotonic()
    for number in range(count):
        if _run(mode, number, Watch()) is None:
            raise SystemExit("one session alone failed: there is nothing to compare with")
    return time.monotonic() - started


def _run(mode: Mode, number: int, watch: Watch) -> float | None:
    """Return the seconds that a session took, None if it failed."""
    directory = project(f"growth {number}")
    _SUITE.lay(directory)
    try:
        finished = run_pytest(
            mode.arguments, directory, mode.environ, watch=lambda process: watch.add(process.pid)
        )
    except SystemExit as failure:
        print(failure, flush=True)
        return None
    return finished.figures()[TOTAL]
