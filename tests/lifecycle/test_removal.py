from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_isolated_emr.lifecycle import removal
from pytest_isolated_emr.lifecycle.removal import clear_directory, size_on_disk


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_all_goes_but_what_is_spared(tmp_path: Path) -> None:
    for name in ("a/b/c", "d", "spared/e"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with opened(tmp_path) as descriptor:
        assert clear_directory(descriptor, spared={"spared"}) == []
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "spared",
        "spared/e",
        "spared/e/file",
    ]


def test_links_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (inside / "deep").mkdir(parents=True)
    for name, target in {
        "dir": outside,
        "deep/dir": outside,
        "file": outside / "file",
        "nowhere": "no",
    }.items():
        (inside / name).symlink_to(target)
    os.link(outside / "file", inside / "hard")
    with opened(inside) as descriptor:
        assert clear_directory(descriptor) == []
    assert list(inside.iterdir()) == []
    assert (outside / "file").read_text() == "mine"


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o500])
def test_what_a_test_made_read_only_goes_too(
    tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "file").write_text("x")
    closed.chmod(mode)
    real = os.open

    def as_user(path: object, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        # Root may read all, so the refusal has to be played.
        if path == "closed" and not flags & getattr(os, "O_PATH", 0) and not closed.stat().st_mode & 0o400:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest, dir_fd=dir_fd)  # type: ignore[call-overload, no-any-return]

    with opened(tmp_path) as descriptor:
        monkeypatch.setattr(os, "open", as_user)
        assert clear_directory(descriptor) == []
    assert not closed.exists()


def test_one_failure_does_not_stop_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/stuck", "a/b", "z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    real = os.unlink

    def unlink(path: str, *, dir_fd: int | None = None) -> None:
        if path == "stuck":
            raise OSError(1, "Operation not permitted")
        real(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    with opened(tmp_path) as descriptor:
        assert clear_directory(descriptor) == ["a/stuck: [Errno 1] Operation not permitted"]
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["a", "stuck"]


def test_another_file_system_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "file").write_text("x")
    of_another = removal._Removal(-1, math.inf)
    with opened(tmp_path) as descriptor:
        of_another.remove(descriptor, "mounted", "mounted")
    assert of_another.problems == ["mounted: another file system is mounted there"]
    assert (tmp_path / "mounted" / "file").exists()


def test_it_ends_when_its_time_is_over(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    with opened(tmp_path) as descriptor:
        (problem,) = clear_directory(descriptor, seconds=-1)
        assert "there was no time left for it" in problem
        assert len(list(tmp_path.rglob("file"))) == 2
        assert clear_directory(descriptor) == []


def test_the_size_counts_no_links(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * 10_000_000)
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "sub").mkdir()
    (inside / "sub" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= size_on_disk(inside) < 1_000_000
