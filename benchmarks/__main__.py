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

HERE = Path(__file__).parent
WITH_PEER = ["-p", "no:isolated_emr"]
WITH_US = ["--isolated-emr", "-p", "no:spark"]


def run_suite(arguments: list[str]) -> dict[str, float]:
    """Run the suite once; return seconds from the start to the first test's end, in all, and from the last to exit."""
    with tempfile.TemporaryDirectory() as directory:
        stamps = Path(directory) / "stamps"
        environ = os.environ | {"BENCH_STAMPS": str(stamps)}
        started = time.time()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *arguments,
            str(HERE / "suite"),
        ]
        result = subprocess.run(
            command, cwd=directory, env=environ, capture_output=True, text=True, check=False
        )
        ended = time.time()
        if result.returncode:
            raise SystemExit(f"{command} failed:\n{result.stdout}{result.stderr}")
        times = [float(line) for line in stamps.read_text().splitlines()]
    return {"first test": times[0] - started, "total": ended - started, "exit delay": ended - times[-1]}


def run_idle(arguments: list[str]) -> dict[str, float]:
    """Run pytest on one empty test, and return the seconds that takes."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "test_empty.py").write_text("def test_empty(): pass\n")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:spark",
            "-p",
            "no:cacheprovider",
            *arguments,
        ]
        started = time.time()
        subprocess.run(command, cwd=directory, capture_output=True, check=True)
        return {"idle start": time.time() - started}


def spread(values: list[float]) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    """Run all, in turns, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    results: dict[str, dict[str, list[float]]] = {"pytest-spark": {}, "isolated-emr": {}}
    variants = {"pytest-spark": WITH_PEER, "isolated-emr": WITH_US}
    for number in range(rounds + 1):
        for name, arguments in variants.items():
            # Without the option, the idle plugin against none.
            idle = run_idle(WITH_PEER if name == "pytest-spark" else [])
            measured = run_suite(arguments) | idle
            print(name, {key: round(value, 2) for key, value in measured.items()}, flush=True)
            # The first round warms the disk's cache, and is not counted.
            for key, value in measured.items() if number else ():
                results[name].setdefault(key, []).append(value)
    write(results, rounds)


def write(results: dict[str, dict[str, list[float]]], rounds: int) -> None:
    """Write the figures as JSON and as a table."""
    about = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("pyspark", "pytest", "pytest-spark", "moto")},
    }
    (HERE / "results.json").write_text(json.dumps({"about": about, "seconds": results}, indent=1) + "\n")
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
    differences = [1000 * (a - b) for a, b in zip(ours["idle start"], peer["idle start"], strict=True)]
    lines += ["", f"An idle plugin adds {spread(differences)} ms to pytest's start on one empty test."]
    (HERE.parent / "docs" / "benchmarks.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
