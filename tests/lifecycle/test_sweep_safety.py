"""Whatever is under the sessions' root: live sessions and all that is outside are never touched."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_isolated_emr.lifecycle.host import Host, boot_id, this_host
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity
from pytest_isolated_emr.lifecycle.run_id import is_run_id
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory, SessionMetadata
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import plan, sweep

Start = Callable[..., "subprocess.Popen[str]"]

#: Creates sessions and ends at once those that are to be dead.
KEEPERS = """
import sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory
from pytest_isolated_emr.lifecycle.state_root import StateRoot
root = StateRoot(Path(sys.argv[1]))
sessions = [SessionDirectory.create(root, name) for name in sys.argv[2:]]
print("ready", flush=True)
sys.stdin.read()
"""

#: Creates sessions, of which it removes some, gives some up, and holds some until it is killed.
CREATOR = """
import os, sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory
from pytest_isolated_emr.lifecycle.state_root import StateRoot
root = StateRoot(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
own = []
for number in range(20):
    session = SessionDirectory.create(root, new_run_id())
    (session.path / "scratch").mkdir()
    (session.path / "scratch" / "file").write_text("mine")
    session.journal.intend("directory", "scratch")
    assert (session.path / "scratch" / "file").read_text() == "mine"
    if number % 2:
        problems = session.remove(keep=False)
        assert problems == [], problems
        own.append(session.path.name)
        session.release()
    elif number % 4:
        session.release()
    else:
        # Held to the end, which is a kill.
        globals().setdefault("held", []).append(session)
for session in held:
    assert (session.path / "scratch" / "file").read_text() == "mine"
print("done", *own, flush=True)
os.kill(os.getpid(), 9)
"""

SWEEPER = """
import sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import sweep
root = StateRoot(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(15):
    report = sweep(root, delete=True)
    for failure in report.failed:
        print("failed", failure, flush=True)
    for leftover in report.reported:
        print("reported", leftover, flush=True)
    for leftover in report.removed:
        print("removed", leftover.name, flush=True)
"""


@dataclass(frozen=True)
class Entry:
    kind: str
    contents: tuple[str, ...]


_ENTRIES = st.lists(
    st.builds(
        Entry,
        st.sampled_from(["live", "dead", "foreign", "linked", "linked-file", "odd", "no-lock", "new-live"]),
        st.lists(
            st.sampled_from(
                ["file", "tree", "link-to-file", "link-to-directory", "link-to-live", "hard-link", "kept"]
            ),
            unique=True,
        ).map(tuple),
    ),
    max_size=6,
)


def _run_id(number: int) -> str:
    return f"20261123t211623-{number:06x}"


def _metadata(run_id: str, host: Host) -> SessionMetadata:
    gone = ProcessIdentity(boot_id(), 2**30, started=1)
    return SessionMetadata(run_id, host, boot_id(), os.geteuid(), gone, "", "/", ["pytest"], "local", {})


def _fill(path: Path, contents: tuple[str, ...], outside: Path, live: Path) -> None:
    for what in contents:
        if what == "file":
            (path / what).write_text("x")
        elif what in ("tree", "kept"):
            (path / what / "a" / "b").mkdir(parents=True)
            (path / what / "a" / "link").symlink_to(outside)
        elif what == "hard-link":
            os.link(outside / "file", path / what)
        else:
            target = {"link-to-file": outside / "file", "link-to-directory": outside, "link-to-live": live}[
                what
            ]
            (path / what).symlink_to(target)


def _snapshot(path: Path) -> dict[str, str]:
    """Everything below a directory, links as links."""
    found = {}
    for entry in sorted(path.rglob("*")):
        if entry.is_symlink():
            found[str(entry)] = f"-> {entry.readlink()}"
        else:
            found[str(entry)] = entry.read_text() if entry.is_file() else "directory"
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_ENTRIES, st.booleans())
def test_only_what_is_below_a_dead_session_goes(entries: list[Entry], kept: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = StateRoot(Path(directory, "state"))
        root.open()
        outside = Path(directory, "outside")
        outside.mkdir()
        (outside / "file").write_text("mine")
        (outside / "target").mkdir()
        (outside / "target" / "file").write_text("mine")
        (root.jars / "a.jar").write_text("mine")
        held, dead = [], []
        live_path = root.sessions / _run_id(0)
        for number, entry in enumerate([Entry("live", ("file",)), *entries]):
            path = root.sessions / _run_id(number)
            if entry.kind in ("live", "dead", "foreign", "no-lock", "new-live"):
                session = SessionDirectory.create(root, path.name)
                host = Host("elsewhere", "1") if entry.kind == "foreign" else this_host()
                session.write_metadata(_metadata(path.name, host))
                _fill(path, entry.contents, outside, live_path)
                if entry.kind == "new-live":
                    path.rename(path.with_name(f".new-{path.name}"))
                    os.utime(path.with_name(f".new-{path.name}"), (0, 0))
                if entry.kind in ("live", "new-live"):
                    held.append(session)
                    continue
                session.release()
                if entry.kind == "no-lock":
                    (path / "lock").unlink()
                if entry.kind == "dead":
                    dead.append(path)
            elif entry.kind == "linked":
                path.symlink_to(outside / "target")
            elif entry.kind == "linked-file":
                path.symlink_to(outside / "file")
            else:
                path.with_name(f"odd{number}").mkdir()
                _fill(path.with_name(f"odd{number}"), entry.contents, outside, live_path)
        before = _snapshot(Path(directory))

        planned = plan(root, kept=kept)
        assert _snapshot(Path(directory)) == before
        assert [leftover.name for leftover in planned if leftover.standing == "dead"] == [
            p.name for p in dead
        ]
        assert not {leftover.name for leftover in planned} & {session.path.name for session in held}
        assert [leftover.name for leftover in sweep(root, kept=kept).removed] == [p.name for p in dead]
        assert _snapshot(Path(directory)) == before

        report = sweep(root, delete=True, kept=kept)
        assert report.failed == []
        allowed = tuple(str(path) for path in dead)
        assert _snapshot(Path(directory)) == {
            name: content for name, content in before.items() if not name.startswith(allowed or ("\0",))
        }
        for session in held:
            session.release()


def test_keepers_in_other_processes_are_live_until_they_are_killed(root: StateRoot, start: Start) -> None:
    names = [_run_id(number) for number in range(6)]
    doomed = start(KEEPERS, str(root.path), *names[:3])
    living = start(KEEPERS, str(root.path), *names[3:])
    assert sweep(root, delete=True).removed == []
    doomed.kill()
    doomed.wait()
    assert [leftover.name for leftover in sweep(root, delete=True).removed] == names[:3]
    assert living.poll() is None
    assert sorted(path.name for path in root.sessions.iterdir()) == names[3:]


def test_many_create_while_two_sweep(root: StateRoot, start: Start) -> None:
    creators = [start(CREATOR, str(root.path)) for _ in range(8)]
    sweepers = [start(SWEEPER, str(root.path)) for _ in range(2)]
    for process in [*creators, *sweepers]:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    own = set()
    for creator in creators:
        assert creator.stdout is not None
        word, *names = creator.stdout.readline().split()
        assert word == "done"
        own |= set(names)
        assert creator.wait() == -9
    removed = []
    for sweeper in sweepers:
        assert sweeper.stdout is not None
        for line in sweeper.stdout.read().splitlines():
            word, name = line.split(" ", 1)
            assert word == "removed", line
            removed.append(name)
        assert sweeper.wait() == 0
    # Each was removed once, and what the last ones left goes now.
    assert len(removed) == len(set(removed))
    last = sweep(root, delete=True)
    assert (last.failed, last.reported) == ([], [])
    left = [leftover.name for leftover in last.removed]
    assert not set(left) & set(removed)
    # In its last moment, when it is empty, a sweep may remove what its own session is removing.
    assert len(own) == 8 * 10
    assert len({*removed, *left} - own) == 8 * 10
    assert all(is_run_id(name) for name in [*removed, *left])
    assert list(root.sessions.iterdir()) == []
