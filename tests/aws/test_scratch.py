"""What a test leaves in its scratch is kept for a look, in a time that has a bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_isolated_emr import scratch
from pytest_isolated_emr.scratch import Scratch
from tests.aws.conftest import Endpoint


@pytest.fixture
def place(endpoint: Endpoint, tmp_path: Path) -> Scratch:
    made = Scratch("s3://here/kept/test-1", tmp_path / "scratch")
    (made.path / "below").mkdir(parents=True)
    (made.path / "below" / "file").write_text("x")
    (made.path / "link").symlink_to("/nowhere")
    (made.path / "below").chmod(0o500)
    s3 = endpoint.client("s3")
    for name, body in {"a": b"1", "b/c": b"x" * 3_000_000, "d//e": b"", "f/": b""}.items():
        s3.put_object(Bucket="here", Key=f"{made.prefix}/{name}", Body=body)
    return made


def test_files_become_local_and_objects_are_copied(
    endpoint: Endpoint, place: Scratch, tmp_path: Path
) -> None:
    kept = tmp_path / "kept" / "test-1"
    assert scratch.keep(place, endpoint.client("s3"), kept)
    assert not place.path.exists()
    assert (kept / "local" / "below" / "file").read_text() == "x"
    assert (kept / "local" / "link").is_symlink()
    assert {
        path.relative_to(kept / "s3").as_posix() for path in (kept / "s3").rglob("*") if path.is_file()
    } == {
        "a",
        "b/c",
    }
    assert (kept / "s3" / "a").read_bytes() == b"1"
    assert (kept / "s3" / "b" / "c").stat().st_size == 3_000_000


def test_objects_that_are_too_many_do_not_keep_pytest(
    endpoint: Endpoint, place: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "KEEP_SECONDS", -1.0)
    kept = tmp_path / "kept" / "test-1"
    assert not scratch.keep(place, endpoint.client("s3"), kept)
    assert [path.name for path in kept.iterdir()] == ["local"]
