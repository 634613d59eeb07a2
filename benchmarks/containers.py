"""``make bench-docker``: the first query of Spark in a container, by ``--isolated-emr`` and by a bare Connect server, in turns.

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
from importlib.metadata import version
from pathlib import Path

import docker

from benchmarks.figures import spread
from benchmarks.modes import WITH_US
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE, StateRoot

HERE = Path(__file__).parent
IMAGE = "isolated-emr:python{}.{}".format(*sys.version_info)
BARE, OURS = "docker run", "--isolated-emr"
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
TEST = """
import os, time
import docker

def test_first_query(spark, isolated_emr):
    assert spark.range(10).count() == 10
    open(os.environ["BENCH_RESULTS"], "w").write(str(time.time()))
    label = f"isolated-emr.run-id={isolated_emr.run_id}"
    (container,) = docker.from_env().containers.list(filters={"label": label})
    memory = container.stats(stream=False)["memory_stats"]
    open(os.environ["BENCH_MEMORY"], "w").write(f"{memory.get('max_usage', memory['usage'])} {memory['limit']}")
"""


def run(command: list[str], directory: Path, environ: dict[str, str]) -> dict[str, float]:
    """Run a process that writes when its first query was answered; return seconds to that, and in all."""
    started = time.time()
    done = subprocess.run(
        command, cwd=directory, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    ended = time.time()
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
    return {READY: float((directory / "results").read_text()) - started, TOTAL: ended - started}


def run_bare() -> dict[str, float]:
    """Run the peer once."""
    with tempfile.TemporaryDirectory() as directory:
        results = str(Path(directory) / "results")
        return run([sys.executable, "-c", PEER, IMAGE, results], Path(directory), {})


def run_ours() -> tuple[dict[str, float], float]:
    """Run one test in a container; return its seconds, and the share of its memory that the container took at most."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_it.py").write_text(TEST)
        options = ["--isolated-emr-backend=docker", f"--isolated-emr-image={IMAGE}"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *WITH_US, *options]
        environ = {
            "BENCH_RESULTS": str(directory / "results"),
            "BENCH_MEMORY": str(directory / "memory"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "CI": "true",
            HOME_VARIABLE: str(StateRoot.from_environment().path),
        }
        measured = run(command, directory, environ)
        used, limit = map(int, (directory / "memory").read_text().split())
        return measured, used / limit


def main() -> None:
    """Run both, in turns, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    results: dict[str, dict[str, list[float]]] = {BARE: {}, OURS: {}}
    memory = []
    # The first round warms the disk's cache, fetches jars, and is not counted.
    for number in range(rounds + 1):
        bare = run_bare()
        ours, share = run_ours()
        print({BARE: bare, OURS: ours}, flush=True)
        if number:
            memory.append(share)
            for name, measured in ((BARE, bare), (OURS, ours)):
                for key, value in measured.items():
                    results[name].setdefault(key, []).append(value)
    write(results, memory, rounds)


def write(results: dict[str, dict[str, list[float]]], memory: list[float], rounds: int) -> None:
    """Write the figures as JSON and as a table."""
    about = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "engine": docker.from_env().version()["Version"],
        "python": platform.python_version(),
        **{name: version(name) for name in ("pyspark", "pytest", "testcontainers")},
    }
    figures = {"about": about, "seconds": results, "memory, share of the limit": memory}
    (HERE / "containers.json").write_text(json.dumps(figures, indent=1) + "\n")
    lines = [
        "# Benchmark of containers",
        "",
        f"From the start of a process to its first query's answer, and to its end: a script that runs a Spark Connect server by "
        f"`docker run` and asks it, and a pytest run with one test, {rounds} runs of each in turns, with the same image and "
        "Spark. The run has its own S3 and EMR, network, limits and cleaning on top. Seconds as median (range); ratios are "
        "of the same round. `make bench-docker` makes this page.",
        "",
        ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        "",
        f"| | {BARE} | {OURS} | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for key in (READY, TOTAL):
        ratios = [a / b for a, b in zip(results[OURS][key], results[BARE][key], strict=True)]
        lines.append(
            f"| {key} | {spread(results[BARE][key])} | {spread(results[OURS][key])} | {spread(ratios)} |"
        )
    lines += [
        "",
        f"The container took {100 * statistics.median(memory):.0f} % of its memory limit at most, "
        f"{100 * max(memory):.0f} % in the worst run.",
    ]
    (HERE.parent / "docs" / "benchmarks-docker.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
