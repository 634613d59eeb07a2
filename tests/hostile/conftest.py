"""Neighbours: processes of another user, who may read all that is here and write nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_isolated_emr.lifecycle.host import boot_id, this_host
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory, SessionMetadata
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from tests.conftest import environ_of_run
from tests.nobody import AS_NOBODY


@pytest.fixture
def as_nobody() -> tuple[str, ...]:
    """What a command begins with that another user runs."""
    assert os.geteuid() == 0, "this test starts processes of another user, for which it needs root"
    return AS_NOBODY


def command_line(
    home: Path, *arguments: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run ``isolated-emr`` with a state root to its end."""
    return subprocess.run(
        [*before, sys.executable, "-m", "pytest_isolated_emr.cli", *arguments],
        env=environ_of_run(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def metadata_of(run_id: str) -> SessionMetadata:
    """Return what a session says of itself whose keeper has a pid that no process ever has."""
    gone = ProcessIdentity(boot_id(), 2**30, started=1)
    started = "2026-11-23T21:16:23+00:00"
    return SessionMetadata(
        run_id, this_host(), boot_id(), os.geteuid(), gone, started, "/", ["pytest"], "local", {}
    )


def make_session(root: StateRoot) -> SessionDirectory:
    """Make a live session with a log and some scratch; released, it is dead."""
    session = SessionDirectory.create(root, new_run_id())
    session.write_metadata(metadata_of(session.run_id))
    for name in ("logs", "scratch"):
        (session.path / name).mkdir()
    (session.path / "logs" / "keeper.log").write_text("what the keeper said\n")
    (session.path / "scratch" / "file").write_text("x")
    return session


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A directory that no session has any business with: it must stay as it is, and nobody may read it."""
    precious = tmp_path / "precious"
    (precious / "deep").mkdir(parents=True)
    for name in ("file", "deep/file.log"):
        (precious / name).write_text("precious words")
    return precious


def assert_untouched(precious: Path) -> None:
    found = {str(path.relative_to(precious)): path for path in sorted(precious.rglob("*"))}
    assert list(found) == ["deep", "deep/file.log", "file"]
    assert {found[name].read_text() for name in ("file", "deep/file.log")} == {"precious words"}


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start commands that say a line when they are ready; all are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*command: str, **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
