"""``make bench``: the same ten tests under pytest-spark and under --isolated-emr, in turns, as whole processes.

Writes ``docs/benchmarks.md`` and ``benchmarks/results.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import steps
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE, StateRoot

HERE = Path(__file__).parent
SUITES = HERE / "suite"
REPORTS = "reports.jsonl"
PEER, OURS, FETCHED = "pytest-spark", "--isolated-emr", "--isolated-emr, fetched"
IDLE_ROUNDS = 40
STEP_SESSIONS, STEP_ROUNDS = 3, 3
WITH_NEITHER: list[str] = []
WITH_PEER = ["-p", "pytest_spark"]
IDLE = ["-p", "pytest_isolated_emr.plugin"]
WITH_US = [*IDLE, "--isolated-emr"]


def pytest_seconds(arguments: list[str], directory: str, home: Path) -> tuple[float, float]:
    """Run pytest in a directory; return when it was started and when it had ended, in seconds since the epoch."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environ = os.environ | {
        "BENCH_REPORTS": str(Path(directory) / REPORTS),
        HOME_VARIABLE: str(home),
        # What a first run makes for later ones would make it one of those.
        "CI": "true",
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


def run_suite(arguments: list[str], home: Path) -> dict[str, float]:
    """Run the ten tests once; return seconds from the start to the first one's end, in all, and from the last's."""
    with tempfile.TemporaryDirectory() as directory:
        started, ended = pytest_seconds([*arguments, str(SUITES / "test_ten.py")], directory, home)
        reports = reports_in(directory)
    first = next(report["ended"] for report in reports if report["when"] == "call")
    return {
        "first test": first - started,
        "total": ended - started,
        "exit delay": ended - reports[-1]["ended"],
    }


def run_idle(arguments: list[str], home: Path) -> float:
    """Run pytest on one empty test, and return the seconds that takes."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "test_empty.py").write_text("def test_empty(): pass\n")
        started, ended = pytest_seconds(arguments, directory, home)
    return ended - started


def run_fixture(home: Path) -> dict[str, list[float]]:
    """Run tests that only ask for ``spark``; return each one's milliseconds of set-up and of clean-up."""
    with tempfile.TemporaryDirectory() as directory:
        pytest_seconds([*WITH_US, str(SUITES / "test_fixture.py")], directory, home)
        # The first one starts Spark.
        reports = [report for report in reports_in(directory) if not report["test"].endswith("[0]")]
    return {
        name: [1000 * report["seconds"] for report in reports if report["when"] == when]
        for name, when in (("set-up", "setup"), ("clean-up", "teardown"))
    }


def run_steps(home: Path) -> dict[str, list[float]]:
    """Run a job as steps of EMR clusters and by spark-submit, in turns, in some sessions; return all figures."""
    python = {
        "PYSPARK_PYTHON": sys.executable,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    figures: dict[str, list[float]] = {}
    for _ in range(STEP_SESSIONS):
        with tempfile.TemporaryDirectory() as directory:
            results, environ = Path(directory) / "results", Path(directory) / "environ"
            environ.write_text(json.dumps(os.environ | python))
            run = [sys.executable, "-m", "benchmarks.steps", str(results), str(environ), str(STEP_ROUNDS)]
            isolated = [sys.executable, "-m", "pytest_isolated_emr.cli", "exec", "--", *run]
            subprocess.run(isolated, cwd=HERE.parent, env=os.environ | {HOME_VARIABLE: str(home)}, check=True)
            measured = json.loads(results.read_text())
            print(
                {key: [round(value, 2) for value in values] for key, values in measured.items()}, flush=True
            )
            for key, values in measured.items():
                figures.setdefault(key, []).extend(values)
    return figures


def spread(values: list[float], digits: int = 2) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def prepare_homes(directory: Path) -> tuple[Path, Path]:
    """Return two state roots: one with the jars alone, as after a first run, and one as after ``isolated-emr fetch``."""
    fetch = [sys.executable, "-m", "pytest_isolated_emr.cli", "fetch"]
    subprocess.run(fetch, check=True)
    fetched = StateRoot.from_environment()
    jars_alone = StateRoot(directory / "jars-alone")
    jars_alone.open()
    shutil.copytree(fetched.jars, jars_alone.jars, dirs_exist_ok=True)
    return jars_alone.path, fetched.path


def main() -> None:
    """Run all, in turns, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        jars_alone, fetched = prepare_homes(Path(directory))
        suites = {
            PEER: (WITH_PEER, fetched),
            OURS: (WITH_US, jars_alone),
            FETCHED: (WITH_US, fetched),
        }
        results: dict[str, dict[str, list[float]]] = {name: {} for name in suites}
        idle: dict[str, list[float]] = {"without": [], "with": []}
        # The first round warms the disk's cache, and is not counted.
        for number in range(rounds + 1):
            for name, (arguments, home) in suites.items():
                measured = run_suite(arguments, home)
                print(name, {key: round(value, 2) for key, value in measured.items()}, flush=True)
                for key, value in measured.items() if number else ():
                    results[name].setdefault(key, []).append(value)
        for _ in range(IDLE_ROUNDS):
            idle["without"].append(1000 * run_idle(WITH_NEITHER, fetched))
            idle["with"].append(1000 * run_idle(IDLE, fetched))
        write(results, idle, run_fixture(fetched), run_steps(fetched), rounds)


def write(
    results: dict[str, dict[str, list[float]]],
    idle: dict[str, list[float]],
    fixture: dict[str, list[float]],
    stepped: dict[str, list[float]],
    rounds: int,
) -> None:
    """Write the figures as JSON and as a table."""
    about = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("pyspark", "pytest", "pytest-spark", "moto")},
    }
    figures = {
        "about": about,
        "seconds": results,
        "idle, milliseconds": idle,
        "fixture, milliseconds": fixture,
        "steps, seconds": stepped,
    }
    (HERE / "results.json").write_text(json.dumps(figures, indent=1) + "\n")
    lines = [
        "# Benchmarks",
        "",
        f"Ten tests on a SparkSession, one of which reads and writes parquet, {rounds} runs of each in turns, as whole "
        "processes, each with a new JVM and none of the other plugins. Seconds as median (range); ratios are to "
        "pytest-spark in the same round, as median (range). `isolated-emr fetch` is run once; with it Spark's classes are "
        "archived. `make bench` makes this page.",
        "",
        ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        "",
        f"| | {PEER} | {OURS} | ratio | {FETCHED} | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    peer = results[PEER]
    for key in ("first test", "total", "exit delay"):
        cells = [spread(peer[key])]
        for name in (OURS, FETCHED):
            ratios = [a / b for a, b in zip(results[name][key], peer[key], strict=True)]
            cells += [spread(results[name][key]), spread(ratios)]
        lines.append(f"| {key} | {' | '.join(cells)} |")
    delays = [a - b for a, b in zip(results[FETCHED]["exit delay"], peer["exit delay"], strict=True)]
    differences = [a - b for a, b in zip(idle["with"], idle["without"], strict=True)]
    setup, cleanup = fixture["set-up"], fixture["clean-up"]
    both = [a + b for a, b in zip(setup, cleanup, strict=True)]
    lines += [
        "",
        f"- Taking the environment away adds {spread(delays)} s to pytest's exit.",
        f"- The `spark` fixture costs {spread(both, 1)} ms a test: {spread(setup, 1)} to set up, "
        f"{spread(cleanup, 1)} to clean up, over {len(both)} tests.",
        f"- An idle plugin adds {spread(differences, 0)} ms to the {statistics.median(idle['without']):.0f} ms that pytest "
        f"takes for one empty test, over {len(differences)} pairs.",
    ]
    lines += [
        "",
        "## EMR steps",
        "",
        f"A trivial PySpark job as a step of a waiting cluster, and by Spark's own `spark-submit`, in turns, in {STEP_SESSIONS} "
        "sessions, with Spark's classes archived.",
        "",
        "| | step | spark-submit | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for step, raw in ((steps.STEP, steps.RAW), (steps.TEN_STEPS, steps.TEN_RAWS)):
        ratios = [a / b for a, b in zip(stepped[step], stepped[raw], strict=True)]
        lines.append(f"| {step} | {spread(stepped[step])} | {spread(stepped[raw])} | {spread(ratios)} |")
    lines.append("")
    lines += [f"- {key}: {spread(stepped[key])} s." for key in (steps.CLUSTER, steps.ANSWERS)]
    (HERE.parent / "docs" / "benchmarks.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
