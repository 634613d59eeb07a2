"""The page ``docs/benchmarks.md``, of the figures in the file."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks import bars, counts, fetched, memory, overhead, parts, plot, s3, steps, suites
from benchmarks.figures import ratios, spread, table
from benchmarks.growth.section import growth_bars, growth_section
from benchmarks.kept_settings import settings_section
from benchmarks.modes import ARCHIVE, COLD, PEER, WARM
from benchmarks.results import ABOUT
from benchmarks.runs import EXIT, FIRST, REPOSITORY, TOTAL

DOCS = REPOSITORY / "docs"
PLOT = "benchmarks.svg"

INTRODUCTION = f"""\
Whole processes in turns on one machine, each with none of the other plugins. Seconds are median (range); ratios are to
{PEER} in the same round. `make bench` makes this page; `make bench PART=suites ROUNDS=3` measures a part anew.
[Containers](benchmarks-docker.md) have a page of their own."""

WAYS = f"""\
- {PEER}: pytest with {PEER}, which starts a Spark of its own for each run.
- {COLD}: `--isolated-emr` as in a first run, but for the jars, which are there.
- {ARCHIVE}: the same with an archive of Spark's classes, as after a first run or `isolated-emr fetch`.
- {WARM}: the session claims the spare that the one before left. The spare was ready before the run began."""

SUITES = f"""\
One test; ten tests with a join, aggregations, a window, a Python function, SQL, parquet, CSV and a table; the tests of the demo
(`fixtures/flights`) that read and write files, 11 of 17, on this machine's disk, as {PEER} has no S3 for Spark; and the ten tests in two
workers of xdist."""


def write(everything: Mapping[str, Any]) -> None:
    """Write the page, and the plot in it.

    :param everything: the figures by part; a part that was not measured is left out.
    """
    about = everything[ABOUT]
    machine = ", ".join(f"{name} {value}" for name, value in about.items())
    lines = ["# Benchmarks", "", INTRODUCTION, "", f"{machine}.", "", *_bars(everything)]
    sections = {
        parts.SUITES: _suites,
        parts.S3: _s3,
        parts.STEPS: _steps,
        parts.FIXTURE: _fixture,
        parts.IDLE: _idle,
        parts.MEMORY: _memory,
        parts.COUNTS: _counts,
        parts.SETTINGS: settings_section,
        parts.GROWTH: growth_section,
    }
    for part, section in sections.items():
        if part in everything:
            lines += ["", *section(everything[part])]
    (DOCS / "benchmarks.md").write_text("\n".join(lines) + "\n")


def _bars(everything: Mapping[str, Any]) -> list[str]:
    found = everything.get(parts.SUITES, {})

    def ratio(suite: str, way: str, figure: str) -> list[float]:
        seconds = found.get(suite, {}).get(way, {}).get(figure)
        return ratios(seconds, found[suite][PEER][figure]) if seconds else []

    stepped, requests = everything.get(parts.STEPS), everything.get(parts.S3)
    fetches = everything.get(parts.COUNTS, {}).get(parts.FETCHED)
    faster = s3.ratios(requests) if requests else {}
    rows = [
        bars.FIRST_ARCHIVE.row(ratio(suites.ONE, ARCHIVE, FIRST)),
        bars.FIRST_WARM.row(ratio(suites.ONE, WARM, FIRST)),
        bars.TEN_WARM.row(ratio(suites.TEN, WARM, TOTAL)),
        bars.TEN_STEPS.row(ratios(stepped[steps.TEN_STEPS], stepped[steps.TEN_RAWS]) if stepped else []),
        bars.SMALL_REQUESTS.row(faster.get("GET of 1 KB", [])),
        bars.RANGES.row(faster.get("GET of 1 MB of 256 MB", [])),
        bars.JARS.row([fetches[fetched.MEGABYTES]] if fetches else []),
        *growth_bars(everything.get(parts.GROWTH)),
    ]
    return ["## What was to be reached", "", *table(["", "", "measured", ""], rows)]


def _suites(found: Mapping[str, suites.Figures]) -> list[str]:
    plot.draw(found, DOCS / PLOT)
    lines = ["## Suites", "", SUITES, "", WAYS, "", f"![Seconds by suite and way]({PLOT})"]
    for suite, ways in found.items():
        measured = [name for name in ways if ways[name]]
        head = ["", *(cell for name in measured for cell in ([name] if name == PEER else [name, "ratio"]))]
        rows = []
        for figure in (FIRST, TOTAL, EXIT):
            row = [figure]
            for name in measured:
                row.append(spread(ways[name][figure]))
                if name != PEER:
                    row.append(spread(ratios(ways[name][figure], ways[PEER][figure])))
            rows.append(row)
        lines += ["", f"### {suite.capitalize()}", "", *table(head, rows)]
    return lines


def _s3(found: Mapping[str, Any]) -> list[str]:
    names = {s3.OURS: "the endpoint", s3.STOCK: "moto's server"}
    rows = []
    faster = s3.ratios(dict(found))
    for kind, by in found["figures"].items():
        row = [kind]
        for name in names:
            row += [spread(by[name]["requests/s"], 0), spread(by[name]["MB/s"], 1)]
        rows.append([*row, spread(faster[kind], 1)])
    head = ["", *(f"{name}, {unit}" for name in names.values() for unit in ("requests/s", "MB/s")), "ratio"]
    return [
        "## S3",
        "",
        f"The session's endpoint beside `moto_server`, with {found['clients']} clients at once.",
        "",
        *table(head, rows),
    ]


def _steps(found: Mapping[str, list[float]]) -> list[str]:
    rows = [
        [step, spread(found[step]), spread(found[raw]), spread(ratios(found[step], found[raw]))]
        for step, raw in ((steps.STEP, steps.RAW), (steps.TEN_STEPS, steps.TEN_RAWS))
    ]
    return [
        "## EMR steps",
        "",
        "A trivial PySpark job as a step of a waiting cluster, and by Spark's own `spark-submit`, in turns, with Spark's classes archived.",
        "",
        *table(["", "step", "spark-submit", "ratio"], rows),
        "",
        *(f"- {key}: {spread(found[key])} s." for key in (steps.CLUSTER, steps.ANSWERS)),
    ]


def _fixture(found: Mapping[str, list[float]]) -> list[str]:
    setup, cleanup = found[overhead.SETUP], found[overhead.CLEANUP]
    both = [a + b for a, b in zip(setup, cleanup, strict=True)]
    return [
        "## Per test",
        "",
        f"The `spark` fixture costs {spread(both, 1)} ms a test: {spread(setup, 1)} to set up, {spread(cleanup, 1)} to clean up, "
        f"over {len(both)} tests.",
    ]


def _idle(found: Mapping[str, list[float]]) -> list[str]:
    without, with_ = found[overhead.WITHOUT], found[overhead.WITH]
    differences = [a - b for a, b in zip(with_, without, strict=True)]
    return [
        "## Without the option",
        "",
        f"An idle plugin adds {spread(differences, 0)} ms to the {statistics.median(without):.0f} ms that pytest takes for one empty "
        f"test, over {len(differences)} pairs.",
    ]


def _memory(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    head = ["MB", *memory.ROLES]
    rows = [
        [f"{suite}, {way}", *(f"{megabytes[role]:.0f}" if role in megabytes else "" for role in memory.ROLES)]
        for suite, ways in found.items()
        for way, megabytes in ways.items()
    ]
    return [
        "## Memory",
        "",
        "The most that the processes of each kind had in RAM at one moment of a run, looked at three times a second; a page that "
        "several share counts by its share (PSS). A spare is as it waits.",
        "",
        *table(head, rows),
    ]


def _counts(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    classes = [
        [way, *(str(number[key]) for key in (counts.CLASSES, counts.SHARED))]
        for way, number in found[parts.CLASSES].items()
    ]
    requests = [[what, str(number)] for what, number in found[parts.S3A_REQUESTS].items()]
    first = found[parts.FETCHED]
    return [
        "## Counted",
        "",
        f"A first run fetches {first[fetched.MEGABYTES]:.1f} MB of jars and what describes them, by "
        f"{first[fetched.REQUESTS]:.0f} requests.",
        "",
        "Classes that the JVM of the ten tests loads:",
        "",
        *table(["", counts.CLASSES, counts.SHARED], classes),
        "",
        "Requests that S3A makes for what a job does on `s3://`:",
        "",
        *table(["", "requests"], requests),
    ]
