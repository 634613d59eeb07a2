"""Promises 5 and 6: nothing of others is deleted, and nothing is left in the project's directory."""

from __future__ import annotations

import pytest

from tests.backends import BACKENDS

SUITE = """
import os
from pathlib import Path
import pytest

def test_tables_views_and_files(spark, scratch):
    spark.sql("CREATE DATABASE d")
    spark.range(3).write.saveAsTable("d.t")
    spark.range(3).write.saveAsTable("t")
    spark.range(3).createOrReplaceTempView("v")
    spark.range(3).write.parquet(scratch.uri)
    spark.range(3).write.parquet(str(scratch.path / "local"))

def test_links_are_not_followed(scratch):
    (scratch.path / "link").symlink_to(os.environ["PRECIOUS"])
    (scratch.path / "file").write_text("x")

@pytest.mark.parametrize("outcome", ["passes", "fails"])
def test_retention(scratch, s3, outcome):
    (scratch.path / "local.txt").write_text(outcome)
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/sub/remote.txt", Body=outcome.encode())
    assert outcome == "passes"

def test_artifacts(spark):
    # pyspark 3.5 has them over Connect only.
    if spark.version >= "4":
        spark.addArtifacts("data.txt", file=True)

def test_a_relative_path_is_the_projects(spark, isolated_emr):
    # A cluster sees nothing of the project.
    if isolated_emr.backend != "emr":
        assert spark.read.text("data.txt").count() == 2
"""


@pytest.mark.spark
def test_the_project_stays_clean_and_failed_scratch_is_kept(project, tmp_path, home, run_pytest, on_backend):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (project / "data.txt").write_text("a\nb\n")
    (project / "test_it.py").write_text(SUITE)
    before = sorted(project.rglob("*"))
    finished = run_pytest(*on_backend, PRECIOUS=str(precious))
    assert "1 failed, 5 passed" in finished.output, finished.output
    assert sorted(project.rglob("*")) == before
    assert (precious / "file").read_text() == "mine"

    kept = list((home / "sessions").glob("*/kept/main/*"))
    assert [path.name.rpartition("-")[0] for path in kept] == ["test-it-py-test-retention-fails"]
    assert (kept[0] / "local" / "local.txt").read_text() == "fails"
    assert (kept[0] / "s3" / "sub" / "remote.txt").read_text() == "fails"
    assert str(kept[0]) in finished.output
    session = kept[0].parents[2]
    # What was kept, and what says whose it is.
    assert {path.name for path in session.iterdir()} == {"kept", "journal", "lock", "session.json"}
    logs = "clusters/j-*/*" if on_backend == BACKENDS["emr"] else "logs-main/spark-main.log"
    assert list(session.glob(f"kept/{logs}"))


@pytest.mark.parametrize(("retention", "kept"), [("none", 0), ("all", 2)])
def test_retention_by_option(project, home, run_pytest, retention, kept):
    (project / "test_it.py").write_text(
        "def test_passes(scratch): (scratch.path / 'file').write_text('x')\n"
        "def test_fails(scratch): assert False\n"
    )
    run_pytest("--isolated-emr", f"--isolated-emr-retention={retention}")
    assert len(list((home / "sessions").glob("*/kept/main/*"))) == kept


SCRATCHES = """
import pytest

earlier = []

@pytest.fixture(autouse=True)
def nothing_is_left(s3):
    for place in earlier:
        assert not place.path.exists()
        assert s3.list_objects_v2(Bucket=place.bucket, Prefix=place.prefix + "/")["KeyCount"] == 0
    yield

@pytest.mark.parametrize("number", range(40))
def test_leaves_something(scratch, s3, number):
    earlier[:] = [scratch]
    (scratch.path / "file").write_text("x")
    for name in ("a", "b/c", "d//e"):
        s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/{name}", Body=b"x")
"""


@pytest.mark.parametrize(
    ("backend", "arguments"),
    [("local", ()), ("local", ("-n", "2")), ("emr", ())],
    ids=["one process", "two workers", "on AWS"],
)
def test_what_a_test_leaves_is_gone_before_the_next_one(project, run_pytest, backend, arguments):
    (project / "test_it.py").write_text(SCRATCHES)
    finished = run_pytest(*BACKENDS[backend], *arguments)
    assert "40 passed" in finished.output, finished.output
