"""What a test leaves in its scratch is kept for a look, in a time that has a bound."""

from __future__ import annotations

import shutil
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


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("mode", [0o500, 0o300, 0o000])
def test_a_directory_that_a_test_has_closed(
    endpoint: Endpoint, place: Scratch, tmp_path: Path, mode: int
) -> None:
    """To move a directory, its user needs the right to write in it; the user root, as whom CI runs, needs none."""
    place.path.chmod(mode)
    kept = tmp_path / "kept" / "test-1"
    assert scratch.keep(place, endpoint.client("s3"), kept)
    assert mode_of(kept / "local") == 0o700
    (kept / "local").chmod(mode)
    scratch.remove_directory(Scratch(place.uri, kept / "local"))
    assert not (kept / "local").exists()


def test_a_directory_that_a_test_has_removed(endpoint: Endpoint, place: Scratch, tmp_path: Path) -> None:
    shutil.rmtree(place.path)
    scratch.remove_directory(place)
    kept = tmp_path / "kept" / "test-1"
    assert scratch.keep(place, endpoint.client("s3"), kept)
    assert [path.name for path in kept.iterdir()] == ["s3"]


def test_a_file_in_place_of_the_directory(place: Scratch) -> None:
    shutil.rmtree(place.path)
    place.path.write_text("x")
    scratch.remove_directory(place)
    assert not place.path.exists()
