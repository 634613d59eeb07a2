"""One run of pytest as a whole process, and what can be told of it from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.reporter import REPORTS_VARIABLE

REPOSITORY = Path(__file__).parents[1]
SUITES = Path(__file__).parent / "suites"
SECONDS = 600
_PROJECTS = Path(tempfile.gettempdir()) / f"bench-{os.getpid()}"
#: What is told of a run, in seconds.
FIRST, TOTAL, EXIT = "first result", "total", "exit delay"


@dataclass(frozen=True)
class Report:
    """One part of a test, as pytest reported it.

    :param test: the test's id.
    :param when: ``setup``, ``call`` or ``teardown``.
    :param began: seconds since the epoch.
    :param ended: seconds since the epoch.
    :param outcome: ``passed``, ``failed`` or ``skipped``.
    """

    test: str
    when: str
    began: float
    ended: float
    outcome: str


@dataclass(frozen=True)
class Finished:
    """A run that has ended.

    :param started: when its process was, in seconds since the epoch.
    :param ended: when it had ended.
    :param reports: of its tests, in their order.
    :param output: what it printed.
    """

    started: float
    ended: float
    reports: list[Report] = field(default_factory=list)
    output: str = ""

    def figures(self) -> dict[str, float]:
        """Return seconds to the first test's result, in all, and from the last test's end to the process's."""
        first = min(report.ended for report in self.reports if report.when == "call")
        return {
            FIRST: first - self.started,
            TOTAL: self.ended - self.started,
            EXIT: self.ended - max(report.ended for report in self.reports),
        }


def project(name: str) -> Path:
    """Return an empty directory to run pytest in.

    :param name: its own. It has one path for all runs, and stays after each: a spare is in it, for the next run there.
    """
    directory = _PROJECTS / name.replace(" ", "-").replace(",", "")
    directory.mkdir(parents=True, exist_ok=True)
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return directory


def remove_projects() -> None:
    """Remove all directories that runs were in."""
    shutil.rmtree(_PROJECTS, ignore_errors=True)


def run_pytest(
    arguments: Sequence[str],
    directory: Path,
    environ: dict[str, str],
    *,
    watch: Callable[[subprocess.Popen[str]], None] | None = None,
) -> Finished:
    """Run pytest in a directory, with none of the plugins that are installed but those that the arguments name.

    :param arguments: pytest's.
    :param directory: where to run it.
    :param environ: variables over those of this process.
    :param watch: called once with the running process, to look at it.
    """
    reports = directory / "reports.jsonl"
    reports.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "benchmarks.reporter",
        *arguments,
    ]
    known = {
        REPORTS_VARIABLE: str(reports),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        # As in an activated environment: PySpark looks for the Python of its workers there.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")])),
    }
    with tempfile.TemporaryFile("w+") as output:
        started = time.time()
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=os.environ | known | environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
        )
        try:
            if watch is not None:
                watch(process)
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()
        ended = time.time()
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{printed[-4000:]}")
    lines = reports.read_text().splitlines() if reports.exists() else []
    return Finished(started, ended, [Report(**_fields(line)) for line in lines], printed)


def _fields(line: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line)
    return fields
