"""Whole runs whose tests make clusters and run steps on AWS, for which the local EMR stands."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from tests.amazon import BUCKET, ON_AMAZON, Amazon
from tests.conftest import UNDER_ONE_SPARK, Run

pytestmark = [pytest.mark.spark, UNDER_ONE_SPARK]

ONLY_ITS_OWN = """
def test_a_cluster_of_its_own(make_cluster, isolated_emr, emr, s3):
    cluster = make_cluster(Name="nightly")
    described = emr.describe_cluster(ClusterId=cluster)["Cluster"]
    assert described["Name"] == f"isolated-emr {isolated_emr.run_id} main-1 nightly"
    assert described["Status"]["State"] == "WAITING"
    # It counts among the sessions that may run at once.
    scratch = isolated_emr.scratch
    prefix = scratch.prefix.partition(isolated_emr.run_id)[0] + ".isolated-emr/slots/"
    slots = s3.list_objects_v2(Bucket=scratch.bucket, Prefix=prefix)["Contents"]
    held = [s3.get_object(Bucket=scratch.bucket, Key=each["Key"])["Body"].read().decode() for each in slots]
    assert any(isolated_emr.run_id in text for text in held)
"""

BOTH = """
def test_both(make_cluster, run_step):
    cluster = make_cluster(Name="nightly")
    assert run_step("echo", "of its own", cluster=cluster).stdout == "of its own\\n"
    shared = run_step("echo", "shared")
    assert (shared.stdout, shared.cluster_id == cluster) == ("shared\\n", False)
"""

FAILS = """
def test_fails(run_step):
    print(run_step("sh", "-c", "echo out; echo why it failed >&2; exit 3"))


def test_passes(run_step):
    result = run_step("sh", "-c", "echo out")
    assert result.stdout == "out\\n"
    assert "exitCode 0" in (result.log / "controller").read_text()
"""


def run_id_of(output: str) -> str:
    found = re.search(r"run (\d{8}t\d{6}-[0-9a-f]+)", output)
    assert found, output
    return found[1]


def test_a_test_makes_the_only_cluster(project: Path, run_pytest: Run, amazon: Amazon):
    (project / "test_it.py").write_text(ONLY_ITS_OWN)
    finished = run_pytest(*ON_AMAZON)
    finished.assert_passed(1)
    run_id = run_id_of(finished.output)
    assert [each["Name"] for each in amazon.clusters_of(run_id)] == [f"isolated-emr {run_id} main-1 nightly"]
    assert amazon.things_of(run_id) == []


def test_clusters_of_tests_and_the_runs_own(project: Path, run_pytest: Run, amazon: Amazon):
    (project / "test_it.py").write_text(BOTH)
    finished = run_pytest(*ON_AMAZON)
    finished.assert_passed(1)
    run_id = run_id_of(finished.output)
    names = sorted(each["Name"] for each in amazon.clusters_of(run_id))
    assert names == [f"isolated-emr {run_id}", f"isolated-emr {run_id} main-1 nightly"]
    assert amazon.things_of(run_id) == []


def test_logs_of_a_failure_stay_on_this_machine(project: Path, run_pytest: Run, amazon: Amazon, home: Path):
    (project / "test_it.py").write_text(FAILS)
    finished = run_pytest(*ON_AMAZON)
    assert finished.code == 1, finished.output
    assert "1 failed, 1 passed" in finished.output
    assert "EMR says: Unknown Error." in finished.output
    assert re.search(r"- EMR step s-\w+ \(FAILED\) -", finished.output), finished.output
    assert finished.output.count("why it failed") >= 2
    [kept] = re.findall(r"kept: logs of the EMR cluster j-\w+: (\S+)", finished.output)
    assert Path(kept).is_relative_to(home / "sessions")
    [step] = re.findall(rf"the whole log: ({kept}/steps/s-\w+)\)", finished.output)
    assert gzip.decompress((Path(step) / "stderr.gz").read_bytes()) == b"why it failed\n"
    assert amazon.things_of(run_id_of(finished.output)) == []


def test_logs_that_have_a_place_of_their_own(project: Path, run_pytest: Run, amazon: Amazon):
    (project / "test_it.py").write_text(FAILS)
    finished = run_pytest(*ON_AMAZON, f"--isolated-emr-log-uri=s3://{BUCKET}/logs-of-the-team")
    assert finished.code == 1, finished.output
    [(cluster, where)] = re.findall(r"stays: logs of the EMR cluster (j-\w+): (\S+)", finished.output)
    assert where == f"s3://{BUCKET}/logs-of-the-team/{cluster}"
    there = amazon.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"logs-of-the-team/{cluster}/steps/")
    assert there["KeyCount"] > 0
    assert amazon.things_of(run_id_of(finished.output)) == []


def test_workers_have_clusters_of_their_own(project: Path, run_pytest: Run, amazon: Amazon):
    (project / "test_it.py").write_text(
        "".join(BOTH.replace("test_both", f"test_{number}") for number in range(2))
    )
    finished = run_pytest(*ON_AMAZON, "-n2", "--dist=each")
    finished.assert_passed(4)
    run_id = run_id_of(finished.output)
    names = {each["Name"] for each in amazon.clusters_of(run_id)}
    made = {
        f"isolated-emr {run_id} {worker}-{number} nightly" for worker in ("gw0", "gw1") for number in (1, 2)
    }
    assert names == {f"isolated-emr {run_id}", *made}
    assert amazon.things_of(run_id) == []
