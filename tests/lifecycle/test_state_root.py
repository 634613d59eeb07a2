from __future__ import annotations

import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path

import pytest

from pytest_isolated_emr.errors import NoSpace, StateRootUnusable
from pytest_isolated_emr.lifecycle.state_root import StateRoot


def test_an_environment_variable_moves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOLATED_EMR_HOME", str(tmp_path / "moved"))
    assert StateRoot.from_environment().path == tmp_path / "moved"


def test_what_is_made_once_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOLATED_EMR_CACHE", str(tmp_path / "cache"))
    for name in "ab":
        monkeypatch.setenv("ISOLATED_EMR_HOME", str(tmp_path / name))
        root = StateRoot.from_environment()
        root.open()
        assert (root.jars, root.class_data) == (
            tmp_path / "cache" / "jars",
            tmp_path / "cache" / "class-data",
        )
        assert {path.name for path in root.path.iterdir()} == {"admission", "sessions"}
    for path in (tmp_path / "cache", root.jars):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("part", ["", "jars", "class-data", "container-java"])
def test_a_cache_that_others_may_write_is_refused(
    tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOLATED_EMR_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ISOLATED_EMR_CACHE", str(tmp_path / "cache"))
    directory = tmp_path / "cache" / part
    directory.mkdir(parents=True)
    (directory / "of.jar").touch()
    directory.chmod(0o777)
    with pytest.raises(StateRootUnusable, match=f"{directory} can be written by others") as refused:
        StateRoot.from_environment()
    assert "or set ISOLATED_EMR_CACHE to another one" in str(refused.value)


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_user_has_one(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("ISOLATED_EMR_HOME", raising=False)
    else:
        monkeypatch.setenv("ISOLATED_EMR_HOME", value)
    path = StateRoot.from_environment().path
    assert path.name == "isolated-emr"
    assert path.is_absolute()


@pytest.mark.parametrize("variable", ["ISOLATED_EMR_HOME", "ISOLATED_EMR_CACHE"])
def test_a_relative_one_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "here")
    with pytest.raises(StateRootUnusable, match=f"{variable} is the relative path 'here'"):
        StateRoot.from_environment()


def test_it_is_created_for_the_user_alone(tmp_path: Path) -> None:
    root = StateRoot(tmp_path / "a" / "state")
    root.open()
    root.open()
    for path in (root.path, root.sessions, root.jars):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_one_that_others_may_read_is_tightened(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateRoot(tmp_path).open()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.parametrize("part", ["", "sessions", "jars"])
def test_a_link_is_refused(tmp_path: Path, part: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "state" / part
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere)
    with pytest.raises(StateRootUnusable, match="is a link"):
        StateRoot(tmp_path / "state").open()


@pytest.mark.parametrize(
    ("path", "problem"), [("file", "is not a directory"), ("file/below", "cannot be created")]
)
def test_a_file_is_refused(tmp_path: Path, path: str, problem: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateRootUnusable, match=problem):
        StateRoot(tmp_path / path).open()


def test_somebody_elses_is_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StateRootUnusable, match=f"belongs to the user {owner}"):
        StateRoot(tmp_path).open()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_one_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulated, since root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(StateRootUnusable, match="cannot be written"):
        StateRoot(tmp_path).open()


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, 255 * 2**20))
    with pytest.raises(NoSpace, match="Only 255 MiB are free"):
        StateRoot(tmp_path).open()
