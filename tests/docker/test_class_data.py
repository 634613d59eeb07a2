"""Containers start with an archive of classes, which a run makes for later ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_isolated_emr.backends.docker.class_data import lock_of
from pytest_isolated_emr.spark import archive_file
from tests.backends import BACKENDS
from tests.conftest import UNDER_ONE_SPARK, Run
from tests.engine import IMAGE
from tests.spares.by_spare import WARM, wait_for

pytestmark = [pytest.mark.spark, UNDER_ONE_SPARK, pytest.mark.usefixtures("own_cache", "ends_spares")]

ON_DOCKER = (*BACKENDS["docker"], "-s")
SUITE = """
import pathlib
from pyspark.sql import functions as F

def archives():
    maps = pathlib.Path("/proc").glob("[0-9]*/maps")
    found = set()
    for each in maps:
        try:
            found |= {line.split()[-1] for line in each.read_text().splitlines() if line.endswith(".jsa")}
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            pass
    return sorted(name for name in found if "/containers/" in name)

def test_spark(spark):
    print("TESTS", spark.range(1).select(F.udf(archives, "array<string>")()).first()[0])

def test_a_step(run_step, s3, scratch):
    job = "import pathlib\\nfrom pyspark.sql import SparkSession\\nspark = SparkSession.builder.getOrCreate()\\n"
    job += "import os\\nmaps = pathlib.Path(f'/proc/{os.getppid()}/maps').read_text()\\n"
    job += "print({line.split()[-1] for line in maps.splitlines() if line.endswith('.jsa') and 'containers' in line})\\n"
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=job.encode())
    print("STEP", run_step("spark-submit", f"{scratch}/job.py").stdout)
"""


def archives_in(home: Path) -> list[Path]:
    return list((home / "class-data" / "containers").glob("*.jsa"))


@pytest.mark.thorough
def test_a_run_archives_the_classes_for_later_runs(home: Path, project: Path, run_pytest: Run) -> None:
    (project / "test_it.py").write_text(SUITE)
    # What was made, or failed, a moment ago for another state of the same image keeps nobody from it.
    of_before = home / "class-data" / "containers" / f"{archive_file.name_of([IMAGE], ['before'])}.log"
    lock = lock_of(of_before.parent, IMAGE)
    of_before.parent.mkdir(parents=True)
    for file in (of_before, lock, lock.with_suffix(".log")):
        file.touch()
    first = run_pytest(*ON_DOCKER, WARM)
    first.assert_passed(2)
    assert "are archived in the background" in first.output
    assert "TESTS []" in first.output
    logs = list(of_before.parent.glob("*.log"))
    wait_for(lambda: archives_in(home) or any("ERROR" in log.read_text() for log in logs), "an archive")
    (archive,) = archives_in(home)
    second = run_pytest(*ON_DOCKER)
    second.assert_passed(2)
    assert f"TESTS ['{archive}']" in second.output
    assert f"STEP {{'{archive}'}}" in second.output
    # What is damaged is passed over.
    archive.unlink()
    archive.write_bytes(b"no archive")
    third = run_pytest(*ON_DOCKER)
    third.assert_passed(2)
    assert "TESTS []" in third.output


def test_an_image_that_cannot_be_had_is_said(home: Path) -> None:
    command = ["fetch", "--image", "isolated-emr.invalid/no-such-image"]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest_isolated_emr.cli", *command],
        env=os.environ | {"ISOLATED_EMR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 75, finished.stdout + finished.stderr
    assert "IE5" in finished.stderr
    assert archives_in(home) == []
    assert list(home.glob("sessions/*")) == []


def test_the_archive_of_another_state_goes(tmp_path: Path) -> None:
    def path(place: str, state: str) -> Path:
        return tmp_path / archive_file.name_of([place], [state])

    for name in (path("here", "1"), path("elsewhere", "1")):
        name.write_text("old")
    made = tmp_path / "made"
    made.write_text("new")
    archive_file.publish(made, path("here", "2"))
    assert sorted(tmp_path.glob("*.jsa")) == sorted([path("here", "2"), path("elsewhere", "1")])
    assert path("here", "2").read_text() == "new"
