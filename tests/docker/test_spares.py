"""Containers that were started before the run that uses them: what it sees is what it would have seen of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends import BACKENDS
from tests.conftest import TIMEOUT, Run
from tests.engine import containers_of, things_of

pytestmark = pytest.mark.spark

WARM = (*BACKENDS["docker"], "--isolated-emr-warm=always")

SUITE = """
import os
import pytest
from pyspark.sql import functions as F

def test_files(spark, tmp_path, scratch):
    spark.range(3).write.parquet(str(tmp_path / "numbers"))
    assert (tmp_path / "numbers").is_dir()
    (tmp_path / "lines.txt").write_text("a\\nb\\n")
    assert spark.read.text(str(tmp_path / "lines.txt")).count() == 2
    spark.range(3).write.parquet(f"{scratch.uri}/numbers")
    assert spark.read.parquet(f"{scratch.uri}/numbers").count() == 3

def test_environment(spark):
    seen = spark.sql("SELECT java_method('java.lang.System', 'getenv', 'OF_RUN') AS jvm").first()["jvm"]
    worker = spark.range(1).select(F.udf(lambda _: os.environ.get("OF_RUN"))("id")).first()[0]
    assert seen == worker == os.environ["OF_RUN"]
    of_first = spark.sql("SELECT java_method('java.lang.System', 'getenv', 'OF_FIRST')").first()[0]
    assert of_first == os.environ.get("OF_FIRST", "null")

def test_nothing_is_there(spark, s3):
    assert not spark.catalog.listTables()
    assert [database.name for database in spark.catalog.listDatabases()] == ["default"]
    assert len(s3.list_buckets()["Buckets"]) == 1
"""


class Spares:
    def __init__(self, home: Path) -> None:
        self._home = home

    def command(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "pytest_isolated_emr.cli", *arguments],
            env=os.environ | {"ISOLATED_EMR_HOME": str(self._home)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def states(self) -> list[dict[str, Any]]:
        states: list[dict[str, Any]] = json.loads(self.command("ps", "--json"))
        return states

    def ready(self) -> str:
        """Wait until the spare is ready, and return its run id."""
        self.wait_until(lambda: any(each["state"] == "spare" for each in self.states()))
        return str(self.states()[0]["run_id"])

    def wait_until(self, is_so: Any) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not is_so():
            logs = [log.read_text() for log in (self._home / "spares").glob("*.log")]
            assert not any(logs), logs
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def spares(home: Path) -> Iterator[Spares]:
    """The spares of the test's state root; they are ended after it."""
    spares = Spares(home)
    yield spares
    spares.command("sweep", "--spares", "--delete")
    spares.wait_until(lambda: not spares.states())


def test_a_run_in_a_container_of_a_spare(run_pytest: Run, project: Path, spares: Spares):
    (project / "test_it.py").write_text(SUITE)
    run_pytest(*WARM, CI="", OF_RUN="first", OF_FIRST="1").assert_passed(3)
    run_id = spares.ready()
    [container] = containers_of(run_id)
    ran = run_pytest(*WARM, "-v", CI="", OF_RUN="second")
    ran.assert_passed(3)
    assert f"run {run_id}, a spare was ready" in ran.output
    assert container.id not in [each.id for each in containers_of(run_id)]
    assert not things_of(run_id)
    # It was this container that the tests used: no other was made for the worker.
    assert container.name.endswith("spark-main-1")


def test_workers_in_containers_of_a_spare(run_pytest: Run, project: Path, spares: Spares):
    (project / "test_it.py").write_text(SUITE)
    workers = ("-n", "2", "--dist", "each")
    run_pytest(*WARM, *workers, CI="", OF_RUN="first", OF_FIRST="1").assert_passed(6)
    run_id = spares.ready()
    assert len(containers_of(run_id)) == 2
    ran = run_pytest(*WARM, *workers, CI="", OF_RUN="second")
    ran.assert_passed(6)
    assert "a spare was ready" in ran.output
    assert not things_of(run_id)


def test_a_container_that_is_stopped_is_not_used(run_pytest: Run, project: Path, spares: Spares):
    (project / "test_it.py").write_text(SUITE)
    run_pytest(*WARM, CI="", OF_RUN="first", OF_FIRST="1").assert_passed(3)
    run_id = spares.ready()
    [container] = containers_of(run_id)
    container.pause()
    ran = run_pytest(*WARM, CI="", OF_RUN="second")
    ran.assert_passed(3)
    assert "a spare was ready" not in ran.output
    assert run_id not in ran.output
    spares.wait_until(lambda: not things_of(run_id))
