"""Memory of a session, of a spare and of xdist's workers, by process: what is in RAM, shared pages by their share (PSS)."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import psutil

from benchmarks import spares
from benchmarks.modes import WARM, Mode
from benchmarks.runs import project, run_pytest
from benchmarks.suites import ALL, TEN, TWO_WORKERS, run

PYTEST, XDIST_WORKERS, KEEPER, ENDPOINT = "pytest", "xdist workers", "keeper", "endpoint"
JVMS, PYTHON_WORKERS, OTHERS, IN_ALL = "JVMs", "Python workers", "others", "in all"
ROLES = (PYTEST, XDIST_WORKERS, KEEPER, ENDPOINT, JVMS, PYTHON_WORKERS, OTHERS, IN_ALL)
SPARE = "a spare"

#: What a process's command line has in it, by what the process is; the first that fits.
_MARKS = (
    ("pytest_isolated_emr.keeper", KEEPER),
    ("pytest_isolated_emr.aws", ENDPOINT),
    ("org.apache.spark.deploy.SparkSubmit", JVMS),
    ("pyspark.daemon", PYTHON_WORKERS),
    ("pyspark/daemon", PYTHON_WORKERS),
    ("isolated_emr_daemon", PYTHON_WORKERS),
    # execnet's way of starting another Python.
    ("exec(eval(sys.stdin.readline()))", XDIST_WORKERS),
    ("pytest", PYTEST),
)
_EVERY_SECONDS = 0.3

Megabytes = dict[str, float]


def measure(modes: Iterable[Mode]) -> dict[str, dict[str, Megabytes]]:
    """Return the most that each kind of process had in megabytes, by suite and way, and what a spare has.

    :param modes: the ways.
    """
    found: dict[str, dict[str, Megabytes]] = {}
    by_name = {mode.name: mode for mode in modes}
    warm = by_name.pop(WARM, None)
    for suite in (suite for suite in ALL if suite.name in (TEN, TWO_WORKERS)):
        found[suite.name] = {}
        for name, mode in by_name.items():
            directory = project("memory")
            suite.lay(directory)
            peak: Megabytes = {}
            run_pytest(
                [*mode.arguments, *suite.arguments],
                directory,
                mode.environ,
                watch=partial(_watch, peak),
            )
            found[suite.name][name] = peak
            print(suite.name, name, {role: round(value) for role, value in peak.items()}, flush=True)
    if warm is not None:
        found[SPARE] = {WARM: measure_spare(warm)}
    return found


def measure_spare(mode: Mode) -> Megabytes:
    """Return megabytes by kind of process of a spare that waits.

    :param mode: the way in which sessions leave spares.
    """
    run(ALL[0], mode)
    entry = spares.wait_until_ready(mode.home)
    return now(psutil.Process(entry["keeper_pid"]))


def now(root: psutil.Process) -> Megabytes:
    """Return megabytes by kind of process.

    :param root: a process, which counts with all that descends from it.
    """
    found: dict[str, float] = defaultdict(float)
    with suppress(psutil.Error):
        for process in (root, *root.children(recursive=True)):
            # Some end meanwhile.
            with suppress(psutil.Error):
                found[_role(process)] += _in_ram(process)
    return {**found, IN_ALL: sum(found.values())}


def _watch(peak: Megabytes, process: subprocess.Popen[str]) -> None:
    root = psutil.Process(process.pid)
    while True:
        for role, megabytes in now(root).items():
            peak[role] = max(peak.get(role, 0.0), megabytes)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_EVERY_SECONDS)
            return


def _in_ram(process: psutil.Process) -> float:
    info = process.memory_full_info() if sys.platform == "linux" else process.memory_info()
    return float(getattr(info, "pss", info.rss)) / 1e6


def _role(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    return next((role for mark, role in _MARKS if mark in command), OTHERS)
