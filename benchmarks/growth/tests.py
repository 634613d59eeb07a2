"""Tests in one session: what each costs as they become many, and what the session's processes hold at their end."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.growth.at_end import MEMORY_VARIABLE
from benchmarks.modes import Mode
from benchmarks.runs import SUITES, TOTAL, Finished, project, run_pytest

SCRATCH, SPARK = "`s3` and `scratch`", "`spark`"
_FILES = {SCRATCH: "test_scratch.py", SPARK: "test_spark.py"}
#: In milliseconds; the last by the first is of the tenths of one session's tests.
EACH, LAST_BY_FIRST, MEMORY = "a test", "last tenth by first", "memory"

Counts = Mapping[str, Sequence[int]]
Found = dict[str, dict[str, dict[str, list[Any]]]]


def measure(mode: Mode, rounds: int, counts: Counts) -> Found:
    """Return the figures of each round by kind and number of tests: seconds, milliseconds, and megabytes by process.

    :param mode: a way of ours.
    :param rounds: how often.
    :param counts: how many tests, by their kind.
    """
    found: Found = {kind: {str(count): {} for count in numbers} for kind, numbers in counts.items()}
    for _ in range(rounds):
        for kind, numbers in counts.items():
            for count in numbers:
                measured = _run(mode, kind, count)
                print(f"{count} tests, {kind}", measured, flush=True)
                for key, value in measured.items():
                    found[kind][str(count)].setdefault(key, []).append(value)
    return found


def _run(mode: Mode, kind: str, count: int) -> dict[str, Any]:
    directory = project("growth tests")
    shutil.copy(SUITES / "growth" / _FILES[kind], directory)
    memory = directory / "memory.json"
    finished = run_pytest(
        ["-p", "benchmarks.growth.at_end", *mode.arguments],
        directory,
        mode.environ | {"BENCH_TESTS": str(count), MEMORY_VARIABLE: str(memory)},
    )
    milliseconds = _milliseconds(finished)
    tenth = max(1, len(milliseconds) // 10)
    first, last = (statistics.median(part) for part in (milliseconds[:tenth], milliseconds[-tenth:]))
    return {
        TOTAL: finished.figures()[TOTAL],
        EACH: statistics.mean(milliseconds),
        LAST_BY_FIRST: last / first,
        MEMORY: json.loads(memory.read_text()),
    }


def _milliseconds(finished: Finished) -> list[float]:
    """Return what each test took, from its set-up to its clean-up, but the first, which waits for what the session starts."""
    began = [report.began for report in finished.reports if report.when == "setup"]
    ended = [report.ended for report in finished.reports if report.when == "teardown"]
    return [1000 * (end - begin) for begin, end in zip(began, ended, strict=True)][1:]
