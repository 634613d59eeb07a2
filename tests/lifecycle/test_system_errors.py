from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pytest_isolated_emr import errors
from pytest_isolated_emr.lifecycle.system_errors import in_words, in_words_here


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "IE106"),
        (errno.EDQUOT, "IE106"),
        (errno.EMFILE, "IE109"),
        (errno.ENFILE, "IE109"),
        (errno.EACCES, "IE105"),
        (errno.EROFS, "IE105"),
    ],
)
def test_what_the_machine_lacks(tmp_path: Path, number: int, code: str) -> None:
    file = tmp_path / "file"
    told = in_words(OSError(number, os.strerror(number), str(file)), tmp_path)
    assert told is not None
    assert told.code == code
    assert told.checked == f"{file}: {os.strerror(number)}"


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "x"), TimeoutError("x")])
def test_what_is_about_something_else(tmp_path: Path, error: Exception) -> None:
    assert in_words(error, tmp_path) is None


def test_rights_that_are_missing_elsewhere_are_not_about_the_state_directory(tmp_path: Path) -> None:
    """A conftest's hook reads a file that it may not: its traceback tells more."""
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "conf.json"))
    assert in_words(error, tmp_path / "root") is None


def test_a_state_directory_that_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "root")
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "root" / "sessions"))
    told = in_words(error, tmp_path / "link")
    assert told is not None
    assert told.code == "IE105"


def test_the_disk_that_is_full_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    told = in_words(OSError(errno.ENOSPC, "No space left on device", str(file)), tmp_path / "root")
    assert told is not None
    assert f"for {file}." in str(told)


def test_an_error_of_ours_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOLATED_EMR_HOME", "relative")
    error = errors.KeeperDied("gone", checked="it", cure="none")
    assert in_words(error, tmp_path) is error
    assert in_words_here(error) is error


def test_where_the_state_directory_is_the_matter_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOLATED_EMR_HOME", "relative")
    told = in_words_here(OSError(errno.ENOSPC, "full"))
    assert told is not None
    assert told.code == "IE105"
