"""``make bench``: the same ten tests under pytest-spark and under --isolated-emr, in turns, as whole processes.

Writes ``docs/benchmarks.md`` and ``benchmarks/results.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SUITES = HERE / "suite"
REPORTS = "reports.jsonl"
WITH_NEITHER: list[str] = []
WITH_PEER = ["-p", "pytest_spark"]
IDLE = ["-p", "pytest_isolated_emr.plugin"]
WITH_US = [*IDLE, "--isolated-emr"]


def pytest_seconds(arguments: list[str], directory: str) -> tuple[float, float]:
    """Run pytest in a directory; return when it was started and when it had ended, in seconds since the epoch."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environ = os.environ | {
        "BENCH_REPORTS": str(Path(directory) / REPORTS),
        # Of the plugins that are installed here, only the one that is measured.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    started = time.time()
    result = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    ended = time.time()
    if result.returncode:
        raise SystemExit(f"{command} failed:\n{result.stdout}{result.stderr}")
    return started, ended


def reports_in(directory: str) -> list[dict[str, Any]]:
    """Return what the suite's conftest wrote of each test's set-up, call and clean-up."""
    return [json.loads(line) for line in (Path(directory) / REPORTS).read_text().splitlines()]


def run_suite(arguments: list[str]) -> dict[str, float]:
    """Run the ten tests once; return seconds from the start to the first one's end, in all, and from the last's."""
    with tempfile.TemporaryDirectory() as directory:
        started, ended = pytest_seconds([*arguments, str(SUITES / "test_ten.py")], directory)
        reports = reports_in(directory)
    first = next(report["ended"] for report in reports if report["when"] == "call")
    return {
        "first test": first - started,
        "total": ended - started,
        "exit delay": ended - reports[-1]["ended"],
    }


def run_idle(arguments: list[str]) -> float:
    """Run pytest on one empty test, and return the seconds that takes."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "test_empty.py").write_text("def test_empty(): pass\n")
        started, ended = pytest_seconds(arguments, directory)
    return ended - started


def run_fixture() -> dict[str, list[float]]:
    """Run tests that only ask for ``spark``; return each one's milliseconds of set-up and of clean-up."""
    with tempfile.TemporaryDirectory() as directory:
        pytest_seconds([*WITH_US, str(SUITES / "test_fixture.py")], directory)
        # The first one starts Spark.
        reports = [report for report in reports_in(directory) if not report["test"].endswith("[0]")]
    return {
        name: [1000 * report["seconds"] for report in reports if report["when"] == when]
        for name, when in (("set-up", "setup"), ("clean-up", "teardown"))
    }


def spread(values: list[float], digits: int = 2) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main() -> None:
    """Run all, in turns, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    results: dict[str, dict[str, list[float]]] = {"pytest-spark": {}, "isolated-emr": {}}
    # The idle plugin against none.
    variants = {"pytest-spark": (WITH_PEER, WITH_NEITHER), "isolated-emr": (WITH_US, IDLE)}
    for number in range(rounds + 1):
        for name, (suite, idle) in variants.items():
            measured = run_suite(suite) | {"idle start": run_idle(idle)}
            print(name, {key: round(value, 2) for key, value in measured.items()}, flush=True)
            # The first round warms the disk's cache, and is not counted.
            for key, value in measured.items() if number else ():
                results[name].setdefault(key, []).append(value)
    write(results, run_fixture(), rounds)


def write(results: dict[str, dict[str, list[float]]], fixture: dict[str, list[float]], rounds: int) -> None:
    """Write the figures as JSON and as a table."""
    about = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("pyspark", "pytest", "pytest-spark", "moto")},
    }
    figures = {"about": about, "seconds": results, "spark fixture, milliseconds": fixture}
    (HERE / "results.json").write_text(json.dumps(figures, indent=1) + "\n")
    peer, ours = results["pytest-spark"], results["isolated-emr"]
    lines = [
        "# Benchmarks",
        "",
        f"Ten tests on a SparkSession, one of which reads and writes parquet, {rounds} runs of each in turns, as whole "
        "processes, cold. Seconds as median (range); the ratio is ours to the peer's of the same round. "
        "`make bench` makes this page.",
        "",
        ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        "",
        "| | pytest-spark | --isolated-emr | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for key in ("first test", "total", "exit delay"):
        ratios = [a / b for a, b in zip(ours[key], peer[key], strict=True)]
        lines.append(f"| {key} | {spread(peer[key])} | {spread(ours[key])} | {spread(ratios)} |")
    delays = [a - b for a, b in zip(ours["exit delay"], peer["exit delay"], strict=True)]
    idle = [1000 * (a - b) for a, b in zip(ours["idle start"], peer["idle start"], strict=True)]
    setup, cleanup = fixture["set-up"], fixture["clean-up"]
    both = [a + b for a, b in zip(setup, cleanup, strict=True)]
    lines += [
        "",
        f"- Taking the environment away adds {spread(delays)} s to pytest's exit.",
        f"- The `spark` fixture costs {spread(both, 1)} ms a test: {spread(setup, 1)} to set up, "
        f"{spread(cleanup, 1)} to clean up, over {len(both)} tests.",
        f"- An idle plugin adds {spread(idle, 0)} ms to pytest's start on one empty test.",
    ]
    (HERE.parent / "docs" / "benchmarks.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
