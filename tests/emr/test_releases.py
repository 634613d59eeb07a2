"""The table of EMR's releases, and the one that a run's clusters have."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_isolated_emr.emr import release_labels, releases
from pytest_isolated_emr.spark.installation import find_spark

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize(
    ("spark", "label"),
    [
        ("3.4.3", "emr-6.15.0"),
        ("3.5.0", "emr-7.14.0"),
        ("4.0.1", "emr-spark-8.0.0"),
        ("4.1.0", "emr-spark-8.1.0"),
        ("4.3.0", "emr-spark-8.1.0"),
        ("3.9.0", "emr-7.14.0"),
    ],
)
def test_the_release_that_fits_a_spark(spark, label):
    assert releases.default_for(spark).label == label


def test_releases_with_details_are_amazons():
    assert set(releases.known()) <= set(release_labels.of_region("us-east-1"))


@pytest.mark.parametrize("label", releases.known())
def test_every_release_is_in_the_docs_as_it_is_here(label):
    release = releases.known()[label]
    (row,) = [
        line
        for line in (DOCS / "emr-releases.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| {label} |")
    ]
    _, _, spark, hadoop, python, java, more, _ = (cell.strip() for cell in row.split("|"))
    applications = dict(part.rsplit(" ", 1) for part in more.split(", "))
    applications |= {"Spark": spark} | ({"Hadoop": hadoop} if hadoop else {})
    assert applications == release.applications
    assert (tuple(python.split(", ")), int(java)) == (release.python, release.java)


@pytest.mark.parametrize("place", ["option", "ini"])
def test_a_release_that_is_not_names_the_choices(project, run_pytest, place):
    if place == "ini":
        (project / "pytest.ini").write_text("[pytest]\nisolated_emr_release = emr-9.9.9\n")
    finished = run_pytest(
        "--isolated-emr", *(["--isolated-emr-release=emr-9.9.9"] if place == "option" else [])
    )
    assert finished.code == 4
    name = "--isolated-emr-release" if place == "option" else "ini setting isolated_emr_release"
    assert f"{name}: 'emr-9.9.9' is not one of: emr-6.15.0, emr-7.0.0" in finished.output


@pytest.mark.spark
def test_the_header_says_that_the_spark_is_not_the_releases(project, run_pytest):
    (project / "test_it.py").write_text("def test_it(): pass\n")
    version = find_spark().version
    finished = run_pytest("--isolated-emr", "--isolated-emr-release=emr-6.15.0")
    finished.assert_passed(1)
    assert finished.output.count(f"Spark {version} (emr-6.15.0 has 3.4.1)") == 1


@pytest.mark.spark
def test_without_a_release_the_clusters_fit_the_spark(project, run_pytest):
    (project / "test_it.py").write_text(
        "def test_it(emr, emr_cluster):\n"
        "    print('label', emr.describe_cluster(ClusterId=emr_cluster)['Cluster']['ReleaseLabel'])\n"
    )
    version = find_spark().version
    release = releases.default_for(version)
    finished = run_pytest("--isolated-emr", "-s")
    finished.assert_passed(1)
    assert f"label {release.label}\n" in finished.output
    said = f"({release.label} has {release.spark})"
    assert (said in finished.output) is not release.runs(version)
