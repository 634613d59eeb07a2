"""Containers that were started before the run that uses them: what it sees is what it would have seen of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends import BACKENDS
from tests.conftest import UNDER_ONE_SPARK, Run
from tests.engine import containers_of, things_of
from tests.spares.by_spare import READY, WARM, wait_for, wait_for_spare

pytestmark = [pytest.mark.spark, UNDER_ONE_SPARK, pytest.mark.usefixtures("without_archives", "ends_spares")]

ON_DOCKER = (*BACKENDS["docker"], WARM)

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


@pytest.mark.thorough
def test_a_run_in_a_container_of_a_spare(run_pytest: Run, project: Path, home: Path):
    (project / "test_it.py").write_text(SUITE)
    run_pytest(*ON_DOCKER, CI="", OF_RUN="first", OF_FIRST="1").assert_passed(3)
    run_id = wait_for_spare(home).run_id
    [container] = containers_of(run_id)
    ran = run_pytest(*ON_DOCKER, "-v", CI="", OF_RUN="second")
    ran.assert_passed(3)
    assert f"run {run_id}, {READY}" in ran.output
    assert container.id not in [each.id for each in containers_of(run_id)]
    assert not things_of(run_id)
    # It was this container that the tests used: no other was made for the worker.
    assert container.name.endswith("spark-main-1")


@pytest.mark.thorough
def test_workers_in_containers_of_a_spare(run_pytest: Run, project: Path, home: Path):
    (project / "test_it.py").write_text(SUITE)
    workers = ("-n", "2", "--dist", "each")
    run_pytest(*ON_DOCKER, *workers, CI="", OF_RUN="first", OF_FIRST="1").assert_passed(6)
    run_id = wait_for_spare(home).run_id
    assert len(containers_of(run_id)) == 2
    ran = run_pytest(*ON_DOCKER, *workers, CI="", OF_RUN="second")
    ran.assert_passed(6)
    assert READY in ran.output
    assert not things_of(run_id)


@pytest.mark.thorough
def test_a_container_that_is_stopped_is_not_used(run_pytest: Run, project: Path, home: Path):
    (project / "test_it.py").write_text(SUITE)
    run_pytest(*ON_DOCKER, CI="", OF_RUN="first", OF_FIRST="1").assert_passed(3)
    run_id = wait_for_spare(home).run_id
    [container] = containers_of(run_id)
    container.pause()
    ran = run_pytest(*ON_DOCKER, CI="", OF_RUN="second")
    ran.assert_passed(3)
    assert READY not in ran.output
    assert run_id not in ran.output
    wait_for(lambda: not things_of(run_id), "the end of the spare")
