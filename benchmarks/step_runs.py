"""Runs of :mod:`benchmarks.steps`, each in a session of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.runs import REPOSITORY, project
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE

SESSIONS, ROUNDS = 3, 3


def measure(home: Path) -> dict[str, list[float]]:
    """Run a job as steps of EMR clusters and by spark-submit, in turns, in some sessions; return all figures.

    :param home: the sessions' state root.
    """
    python = {
        "PYSPARK_PYTHON": sys.executable,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    figures: dict[str, list[float]] = {}
    for _ in range(SESSIONS):
        directory = project("steps")
        results, environ = directory / "results", directory / "environ"
        environ.write_text(json.dumps(os.environ | python))
        run = [sys.executable, "-m", "benchmarks.steps", str(results), str(environ), str(ROUNDS)]
        isolated = [sys.executable, "-m", "pytest_isolated_emr.cli", "exec", "--", *run]
        subprocess.run(isolated, cwd=REPOSITORY, env=os.environ | {HOME_VARIABLE: str(home)}, check=True)
        measured: dict[str, list[float]] = json.loads(results.read_text())
        print({key: [round(value, 2) for value in values] for key, values in measured.items()}, flush=True)
        for key, values in measured.items():
            figures.setdefault(key, []).extend(values)
    return figures
