"""What the page says of growth."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import bars, memory
from benchmarks.figures import ratios, spread, table
from benchmarks.growth import admission, files, sessions, tests
from benchmarks.growth.part import ADMISSION, FILES, SESSIONS, TESTS
from benchmarks.runs import TOTAL

_SESSIONS = """\
Sessions of one test with Spark, started at once with one state root, and the same number one after the other, in seconds. A session's
time counts from its start, so waiting for room is in it. Memory without what the kernel can read again from files."""

_TESTS = """\
Tests of one session: each writes an object and a file to its scratch, or asks `spark` for a view's maximum. The first test is left out of
what a test takes, since it waits for Spark. Memory in MB, as the last test ends (PSS); a heap has garbage in it, up to its bound:
1,000 tests with `spark` pass with one of 512 MB as well."""

_FILES = """\
One test that leaves files in its scratch, in seconds. Half a second is spent on their removal after the test,
and pytest waits a second for the session's end; the keeper goes on by itself."""

#: What admission's cost is measured of, and the most that the bars are about.
_MOST_SESSIONS, _MOST_FILES = "16", "100000"
_ROLES = (memory.PYTEST, memory.KEEPER, memory.ENDPOINT, memory.JVMS)


def growth_bars(found: Mapping[str, Any] | None) -> list[list[str]]:
    """Return the rows of what was to be reached.

    :param found: the part's figures; None if it was not measured.
    """
    most = found[SESSIONS].get(_MOST_SESSIONS, {}) if found else {}
    left = {where: by_count.get(_MOST_FILES, {}) for where, by_count in found[FILES].items()} if found else {}
    return [
        bars.TOGETHER.row(ratios(most[sessions.AT_ONCE], most[sessions.IN_TURN]) if most else []),
        bars.LOST.row(_lost(most) if most else []),
        bars.ADMISSION.row(_admission(found[ADMISSION]) if found else []),
        bars.LEFT_FILES.row(left.get(files.ON_DISK, {}).get(files.EXIT, [])),
        bars.LEFT_OBJECTS.row(left.get(files.ON_S3, {}).get(files.EXIT, [])),
    ]


def growth_section(found: Mapping[str, Any]) -> list[str]:
    """Return the section's lines.

    :param found: the part's figures.
    """
    return [
        "## Growth",
        "",
        *_sessions(found[SESSIONS]),
        "",
        *_admitted(found[ADMISSION]),
        "",
        *_tests(found[TESTS]),
        "",
        *_files(found[FILES]),
    ]


def _sessions(found: Mapping[str, sessions.Figures]) -> list[str]:
    rows = [
        [
            count,
            *(spread(figures[key], 1) for key in (sessions.AT_ONCE, sessions.IN_TURN)),
            spread(ratios(figures[sessions.AT_ONCE], figures[sessions.IN_TURN])),
            *(spread(figures[key], 1) for key in (sessions.MEDIAN, sessions.LONGEST)),
            *(spread(figures[key], 0) for key in (sessions.HELD, sessions.AVAILABLE)),
            f"{sum(_lost(figures)):.0f}",
        ]
        for count, figures in found.items()
    ]
    head = [
        "sessions",
        sessions.AT_ONCE,
        sessions.IN_TURN,
        "ratio",
        sessions.MEDIAN,
        sessions.LONGEST,
        sessions.HELD,
        sessions.AVAILABLE,
        "failed or killed",
    ]
    return ["### Sessions at once", "", _SESSIONS, "", *table(head, rows)]


def _admitted(found: Mapping[str, Sequence[float]]) -> list[str]:
    told = ", ".join(f"{what} {spread(values)} ms" for what, values in found.items())
    times = len(found[admission.CLAIM])
    return [
        f"Where there is room, admission costs {told}, over {times} times. The ticket is with its return at the session's end; the "
        f"others are {admission.OTHERS} that run. A session takes seconds, so no difference can be seen in that."
    ]


def _tests(found: tests.Found) -> list[str]:
    lines = ["### Tests in a session", "", _TESTS]
    for kind, by_count in found.items():
        rows = [
            [
                count,
                spread(figures[TOTAL], 1),
                spread(figures[tests.EACH], 1),
                spread(figures[tests.LAST_BY_FIRST]),
                *(f"{megabytes:.0f}" for megabytes in _megabytes(figures).values()),
            ]
            for count, figures in by_count.items()
        ]
        head = [f"tests, {kind}", "in all, s", f"{tests.EACH}, ms", tests.LAST_BY_FIRST, *_ROLES]
        lines += ["", *table(head, rows), "", _growth(by_count)]
    return lines


def _growth(by_count: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what the most tests take by the fewest: of time, and of memory for each of them."""
    few, *_, many = by_count
    ratio = statistics.median(by_count[many][tests.EACH]) / statistics.median(by_count[few][tests.EACH])
    before, after = (_megabytes(by_count[count]) for count in (few, many))
    more = int(many) - int(few)
    kilobytes = ", ".join(f"{role} {1000 * (after[role] - before[role]) / more:.1f}" for role in _ROLES)
    return f"From {few} to {many} tests, one takes {ratio:.2f} times as long, and KB of memory grow by this much with each: {kilobytes}."


def _megabytes(figures: Mapping[str, Any]) -> dict[str, float]:
    return {
        role: statistics.median(measured.get(role, 0.0) for measured in figures[tests.MEMORY])
        for role in _ROLES
    }


def _files(found: files.Found) -> list[str]:
    rows = [
        [f"{int(count):,} {where}", *(spread(figures[key]) for key in (files.EXIT, files.GONE))]
        for where, by_count in found.items()
        for count, figures in by_count.items()
    ]
    return ["### Files in a scratch", "", _FILES, "", *table(["left", files.EXIT, files.GONE], rows)]


def _admission(found: Mapping[str, Sequence[float]]) -> list[float]:
    pairs = zip(found[admission.CLAIM], found[admission.BESIDE], strict=True)
    return [claim + ticket for claim, ticket in pairs]


def _lost(figures: Mapping[str, Sequence[float]]) -> list[float]:
    pairs = zip(figures[sessions.FAILED], figures[sessions.KILLED], strict=True)
    return [failed + killed for failed, killed in pairs]
