"""``make bench-docker``: the first query of Spark in a container, by ``--isolated-emr`` in its ways and by a bare Connect
server, in turns.

Writes ``docs/benchmarks-docker.md`` and ``benchmarks/containers.json``.
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
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import docker

from benchmarks import bars, homes
from benchmarks.figures import spread, table
from benchmarks.modes import ARCHIVE, WARM, Mode, modes_of
from benchmarks.modes import PEER as PYTEST_SPARK
from benchmarks.runs import FIRST, project, remove_projects, run_pytest
from benchmarks.runs import TOTAL as RUN
from benchmarks.suites import Figures

HERE = Path(__file__).parent
FIGURES = HERE / "containers.json"
IMAGE = "isolated-emr:python{}.{}".format(*sys.version_info)
BARE = "docker run"
READY, TOTAL = "ready", "in all"

#: The peer: what one would write by hand, with nothing of S3, limits or cleaning in it but the removal at the end.
PEER = """
import sys, time
from importlib.util import find_spec
import docker
image, results = sys.argv[1:]
home = find_spec("pyspark").submodule_search_locations[0]
container = docker.from_env().containers.run(
    image,
    [f"{home}/bin/spark-submit", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
     "--conf", "spark.connect.grpc.binding.address=0.0.0.0", "spark-internal"],
    detach=True,
    environment={"SPARK_HOME": home},
    volumes={home: {"bind": home, "mode": "ro"}},
    ports={"15002/tcp": ("127.0.0.1", None)},
    labels={"isolated-emr.bench": ""},
)
try:
    for line in container.logs(stream=True, follow=True):
        if b"Spark Connect server started" in line:
            break
    container.reload()
    port = container.ports["15002/tcp"][0]["HostPort"]
    from pyspark.sql import SparkSession
    spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
    assert spark.range(10).count() == 10
    open(results, "w").write(str(time.time()))
    spark.stop()
finally:
    container.remove(force=True)
"""
TESTS = """
import os
import docker

def test_first_query(spark):
    assert spark.range(10).count() == 10

def test_memory(isolated_emr):
    label = f"isolated-emr.run-id={isolated_emr.run_id}"
    (container,) = docker.from_env().containers.list(filters={"label": label})
    memory = container.stats(stream=False)["memory_stats"]
    open(os.environ["BENCH_MEMORY"], "w").write(f"{memory.get('max_usage', memory['usage'])} {memory['limit']}")
"""


def run_bare() -> dict[str, float]:
    """Run the peer once; return seconds to its first query's answer, and in all."""
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory) / "results"
        command = [sys.executable, "-c", PEER, IMAGE, str(results)]
        started = time.time()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        ended = time.time()
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
        return {READY: float(results.read_text()) - started, TOTAL: ended - started}


def run_ours(mode: Mode) -> tuple[dict[str, float], float]:
    """Run two tests in a container; return seconds to the first one's result, and in all, and the share of its memory that
    the container took at most.

    :param mode: the way.
    """
    directory = project("containers")
    (directory / "test_it.py").write_text(TESTS)
    # No word of a setting: such a file would be taken for one that the JVM has read.
    memory = directory / "memory-of-container"
    arguments = [*mode.arguments, "--isolated-emr-backend=docker", f"--isolated-emr-image={IMAGE}"]
    figures = run_pytest(arguments, directory, {**mode.environ, "BENCH_MEMORY": str(memory)}).figures()
    used, limit = map(int, memory.read_text().split())
    # While it gets ready it is in the way of whatever runs.
    mode.await_spare()
    return {READY: figures[FIRST], TOTAL: figures[RUN]}, used / limit


def main() -> None:
    """Run all ways, in turns, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--page", action="store_true", help="write the page of the figures that there are")
    options = parser.parse_args()
    if not options.page:
        save(*run_all(options.rounds))
    write_page(json.loads(FIGURES.read_text()))


def run_all(rounds: int) -> tuple[Figures, list[float]]:
    """Run all ways with state roots of their own, and take all of it away.

    :param rounds: how often.
    """
    # Sockets are in it, whose paths must be short.
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        modes = [
            mode
            for mode in modes_of(homes.prepare(Path(place), "--image", IMAGE))
            if mode.name != PYTEST_SPARK
        ]
        try:
            return measure(modes, rounds)
        finally:
            for mode in modes:
                mode.end_spares()
            remove_projects()


def measure(modes: Sequence[Mode], rounds: int) -> tuple[Figures, list[float]]:
    """Run all ways, in turns; return seconds by way and figure, and the shares of memory.

    :param modes: ours.
    :param rounds: how often; one more round warms the disk's cache, leaves the first spare, and is not counted.
    """
    results: Figures = {BARE: {}, **{mode.name: {} for mode in modes}}
    memory = []
    for number in range(rounds + 1):
        measured = {BARE: run_bare()}
        for mode in modes:
            measured[mode.name], share = run_ours(mode)
            memory.append(share)
        print(
            {name: {key: round(value, 2) for key, value in each.items()} for name, each in measured.items()},
            flush=True,
        )
        for name, each in measured.items() if number else ():
            for key, value in each.items():
                results[name].setdefault(key, []).append(value)
    return results, memory


def save(results: Figures, memory: list[float]) -> None:
    """Write the figures.

    :param results: seconds by way and figure.
    :param memory: the shares of memory.
    """
    about = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "engine": docker.from_env().version()["Version"],
        "python": platform.python_version(),
        **{name: version(name) for name in ("pyspark", "pytest", "testcontainers")},
    }
    figures = {"about": about, "seconds": results, "memory, share of the limit": memory}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


def write_page(figures: Mapping[str, Any]) -> None:
    """Write the page.

    :param figures: as :func:`save` wrote them.
    """
    about, results, memory = figures["about"], figures["seconds"], figures["memory, share of the limit"]
    rounds = len(results[BARE][READY])
    ratios = {
        name: {
            key: [a / b for a, b in zip(each[key], results[BARE][key], strict=True)] for key in (READY, TOTAL)
        }
        for name, each in results.items()
    }
    ours = [name for name in results if name != BARE]
    lines = [
        "# Benchmark of containers",
        "",
        f"From the start of a process to its first query's answer, and to its end: a script that runs a Spark Connect server by "
        f"`docker run` and asks it, and a pytest run with two tests, without an archive of Spark's classes, with it, and with "
        f"a spare, {rounds} runs of each in turns, with the same image and "
        "Spark. The run has its own S3 and EMR, network, limits and cleaning on top. Seconds as median (range); ratios are "
        "to `docker run` in the same round. `make bench-docker` makes this page.",
        "",
        ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        "",
        f"| | {BARE} | {' | '.join(f'{name} | ratio' for name in ours)} |",
        f"| --- | --- |{' --- | --- |' * len(ours)}",
    ]
    for key in (READY, TOTAL):
        cells = [key, spread(results[BARE][key])]
        for name in ours:
            cells += [spread(results[name][key]), spread(ratios[name][key])]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        *table(
            ["", "bar", "measured", ""],
            [
                bars.CONTAINER.row(ratios[ARCHIVE][READY]),
                bars.CONTAINER_SPARE.row(ratios[WARM][READY]),
            ],
        ),
        "",
        f"The container took {100 * statistics.median(memory):.0f} % of its memory limit at most, "
        f"{100 * max(memory):.0f} % in the worst run.",
    ]
    (HERE.parent / "docs" / "benchmarks-docker.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
