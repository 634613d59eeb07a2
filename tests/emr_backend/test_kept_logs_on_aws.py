"""Logs of clusters on AWS that are to stay."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.logs_on_s3 import LogDirectory
from tests.emr_backend.s3_endpoint import Scratch
from tests.emr_backend.session_on_aws import SessionOnAws

QUICK = Pace(poll=0.05, longest_poll=0.2)


@pytest.fixture
def aws(scratch: Scratch, tmp_path: Path) -> Iterator[SessionOnAws]:
    session = SessionOnAws(scratch, tmp_path)
    yield session
    session.end()


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_the_logs_of_all_clusters_of_the_run(aws: SessionOnAws, scratch: Scratch, tmp_path: Path):
    clusters = aws.clusters(pace=QUICK)
    others = SessionOnAws(Scratch(scratch.account, scratch.bucket), tmp_path / "other")
    other = others.clusters(pace=QUICK)
    other.run_step(other.shared_cluster(), "echo", "other")
    steps = {}
    for cluster in (clusters.shared_cluster(), clusters.make_cluster(Name="a test's")):
        steps[cluster] = clusters.run_step(cluster, "sh", "-c", "echo it failed >&2; exit 1", check=False)
    lines = aws.kept_logs().keep(aws.emr, scratch.s3)
    kept = tmp_path / "kept" / "clusters"
    assert lines == [
        f"kept: logs of the EMR cluster {cluster}: {kept / cluster}" for cluster in sorted(steps)
    ]
    assert sorted(path.name for path in kept.iterdir()) == sorted(steps)
    for cluster, result in steps.items():
        stderr = kept / cluster / "steps" / result.step_id / "stderr.gz"
        assert gzip.decompress(stderr.read_bytes()) == b"it failed\n"
        assert any(name.startswith("node/") for name in files(kept / cluster))
        # What the report said.
        assert f"the whole log: {stderr.parent}" in result.logs.report()
    others.end()


def test_logs_elsewhere_stay_there(aws: SessionOnAws, scratch: Scratch, tmp_path: Path):
    aws.settings = {"log_uri": f"s3://{scratch.bucket}/team/logs"}
    clusters = aws.clusters(pace=QUICK)
    result = clusters.run_step(clusters.shared_cluster(), "false", check=False)
    where = f"s3://{scratch.bucket}/team/logs/{aws.own}"
    assert f"the whole log: {where}/steps/{result.step_id}" in result.logs.report()
    assert aws.kept_logs().keep(aws.emr, scratch.s3) == [f"stays: logs of the EMR cluster {aws.own}: {where}"]
    assert files(tmp_path) == []


def test_without_retention(aws: SessionOnAws):
    clusters = aws.clusters(pace=QUICK, retention="none")
    result = clusters.run_step(clusters.shared_cluster(), "false", check=False)
    assert "the whole log is not kept: retention is none" in result.logs.report()
    assert "isolated_emr_log_uri" in result.logs.report()


def test_more_than_is_copied(aws: SessionOnAws, scratch: Scratch, tmp_path: Path):
    clusters = aws.clusters(pace=QUICK)
    clusters.shared_cluster()
    root = f"{scratch.prefix}/{aws.run_id}/logs/{aws.own}"
    scratch.put(f"{root}/containers/huge.gz", b"x" * 2_000_000)
    [line] = aws.kept_logs(most_bytes=1_000_000).keep(aws.emr, scratch.s3)
    count = len(files(tmp_path))
    assert count > 0
    assert line.endswith(f"1 of {count + 1} files would be more than 1 MB")
    assert "huge.gz" not in "".join(files(tmp_path))


def test_names_that_lead_elsewhere(aws: SessionOnAws, scratch: Scratch, tmp_path: Path):
    clusters = aws.clusters(pace=QUICK)
    clusters.shared_cluster()
    root = f"{scratch.prefix}/{aws.run_id}/logs/{aws.own}"
    for name in ("../../../../../out.gz", "a//b.gz", "/etc/c.gz", "./d.gz"):
        scratch.put(f"{root}/{name}")
    aws.kept_logs().keep(aws.emr, scratch.s3)
    kept = tmp_path / "kept" / "clusters" / aws.own
    assert {"out.gz", "a/b.gz", "etc/c.gz", "d.gz"} <= set(files(kept))
    assert all(name.startswith(f"kept/clusters/{aws.own}/") for name in files(tmp_path))


def test_a_disk_that_takes_nothing(aws: SessionOnAws, scratch: Scratch, tmp_path: Path):
    aws.clusters(pace=QUICK).shared_cluster()
    (tmp_path / "kept").write_text("a file where the directory would be")
    [line] = aws.kept_logs().keep(aws.emr, scratch.s3)
    assert line.startswith(f"not all kept: logs of the EMR cluster {aws.own}: {tmp_path}/kept/clusters/")


def test_a_run_without_clusters(aws: SessionOnAws, scratch: Scratch):
    assert aws.kept_logs().keep(aws.emr, scratch.s3) == []


@pytest.mark.parametrize("scheme", ["s3", "s3n", "s3a"])
@pytest.mark.parametrize("end", ["", "/"])
def test_where_logs_are(scheme: str, end: str):
    logs = LogDirectory(None, f"{scheme}://bucket/a/b{end}")
    assert (logs.uri, logs.below("j-1", "steps").uri) == ("s3://bucket/a/b", "s3://bucket/a/b/j-1/steps")


def test_logs_at_a_buckets_root():
    assert LogDirectory(None, "s3://bucket").below("j-1").uri == "s3://bucket/j-1"
