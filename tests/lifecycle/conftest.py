from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pytest_isolated_emr.lifecycle.host import boot_id, this_host
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory, SessionMetadata
from pytest_isolated_emr.lifecycle.state_root import StateRoot

#: Says that it runs, and ends when the test closes its input or ends itself.
SLEEPER = "import sys; print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python processes that say `ready`; all are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str = SLEEPER, *arguments: str, **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        return process

    yield start
    for process in started:
        process.kill()
        # Not until its output ends: what it started may hold that open.
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def dead_keeper() -> ProcessIdentity:
    """A process that runs no more, with a pid that none ever has: the highest on Linux is 2**22."""
    return ProcessIdentity(boot_id(), 2**30, started=1)


@pytest.fixture
def metadata(dead_keeper: ProcessIdentity) -> Callable[..., SessionMetadata]:
    def metadata(run_id: str, **changes: object) -> SessionMetadata:
        fields: dict[str, object] = {
            "run_id": run_id,
            "host": this_host(),
            "boot_id": boot_id(),
            "uid": 0,
            "keeper": dead_keeper,
            "started": "2026-11-23T21:16:23+00:00",
            "cwd": "/somewhere",
            "command": ["pytest", "--isolated-emr"],
            "backend": "local",
            "versions": {"pyspark": "3.5.9"},
        }
        return SessionMetadata(**{**fields, **changes})  # type: ignore[arg-type]

    return metadata


@pytest.fixture
def session(root: StateRoot, metadata: Callable[..., SessionMetadata]) -> Callable[..., SessionDirectory]:
    """Make a live session with some scratch in it; released, it is dead."""

    def session(**changes: object) -> SessionDirectory:
        session = SessionDirectory.create(root, new_run_id())
        session.write_metadata(metadata(session.run_id, **changes))
        session.journal.created(session.journal.intend("directory", "scratch"))
        (session.path / "scratch" / "deep").mkdir(parents=True)
        (session.path / "scratch" / "deep" / "file").write_text("x" * 10_000)
        return session

    return session
