"""EMR as user code meets it: suites that run in a session of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SUITES = Path(__file__).parent / "suites"


def test_clusters_and_steps(project, run_pytest):
    shutil.copy(SUITES / "test_life.py", project)
    finished = run_pytest("--isolated-emr")
    assert finished.code == 0, finished.output
    assert "skipped" not in finished.output


@pytest.mark.spark
def test_steps_with_spark(project, run_pytest):
    shutil.copy(SUITES / "test_spark.py", project)
    run_pytest("--isolated-emr").assert_passed(5)


def test_a_failing_test_shows_the_steps_that_it_ran(project, run_pytest):
    (project / "test_it.py").write_text(
        "def test_it(run_step):\n    run_step('bash', '-c', 'echo the reason >&2; exit 1')\n"
    )
    finished = run_pytest("--isolated-emr")
    assert finished.code == 1
    assert "EMR step s-" in finished.output
    assert finished.output.count("the reason") >= 2, finished.output
