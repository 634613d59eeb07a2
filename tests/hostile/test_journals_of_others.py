"""Journals, and what says whose a session is, that somebody else wrote: nothing that they name is read, removed or ended."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_isolated_emr.lifecycle.journal import read_journal
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity
from pytest_isolated_emr.lifecycle.session_directory import read_metadata
from pytest_isolated_emr.lifecycle.sweep import sweep
from tests.nobody import NOBODY, give_away

from .conftest import assert_untouched, command_line, make_session

SLEEPER = (sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()")

#: Sweeps with little memory, far less than the files that lie about; prints what it reports.
SWEEP_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import sweep
resource.setrlimit(resource.RLIMIT_AS, (640 << 20, 640 << 20))
report = sweep(StateRoot(Path(sys.argv[1])), delete=True)
for leftover in (*report.removed, *report.reported):
    print(leftover.standing, leftover.reason)
print(*report.failed)
"""


def line(number: int, **fields: object) -> bytes:
    """Return a line of a journal with the checksum that it should have."""
    whole = json.loads(json.dumps({"n": number, "at": "2026-11-23T21:16:23+00:00", **fields}))
    checksum = zlib.crc32(json.dumps(whole, sort_keys=True).encode())
    return json.dumps({**whole, "crc32": checksum}).encode() + b"\n"


def created(number: int, kind: object, name: object, facts: object) -> bytes:
    return line(number, op="created", entry=number, kind=kind, name=name, facts=facts)


def test_what_another_user_wrote_is_not_believed(root, precious, start, as_nobody):
    process = start(*SLEEPER)
    assert process.stdout.readline() == "ready\n"
    dead = make_session(root)
    journal = dead.path / "journal"
    with journal.open("ab") as file:
        file.write(created(2, "process", "endpoint", ProcessIdentity.of(process.pid).to_dict()))
        file.write(created(3, "directory", str(precious), {}))
        file.write(created(4, "container", "a-container", {"engine": "any"}))
        file.write(
            created(5, "emr-cluster", "a-cluster", {"id": "j-1", "region": "eu-west-1", "account": "1"})
        )
    dead.release()
    # As ours it would name all of these.
    assert len(read_journal(journal).resources) == 4
    os.chown(journal, NOBODY, NOBODY)
    removed = []

    def remover(run_id, resource):
        removed.append(resource)

    report = sweep(
        root,
        delete=True,
        kept=True,
        removers={"container": remover, "emr-cluster": remover, "directory": remover},
    )
    assert (report.removed, report.failed, removed) == ([], [], [])
    (leftover,) = report.reported
    assert leftover.standing == "damaged"
    assert f"It belongs to the user {NOBODY}" in leftover.reason
    assert process.poll() is None
    assert (dead.path / "scratch" / "file").exists()
    assert_untouched(precious)


def test_metadata_of_another_users_say_nothing(root, as_nobody):
    session = make_session(root)
    assert read_metadata(session.path) is not None
    os.chown(session.path / "session.json", NOBODY, NOBODY)
    assert read_metadata(session.path) is None
    session.release()


def test_a_process_of_another_user_is_not_ended(root, start, as_nobody):
    """The kernel says no, and the sweep goes on."""
    process = start(*SLEEPER)
    assert process.stdout.readline() == "ready\n"
    dead, other = make_session(root), make_session(root)
    identity = ProcessIdentity.of(process.pid)
    dead.journal.created(dead.journal.intend("process", "endpoint"), **identity.to_dict())
    for session in (dead, other):
        session.release()
    give_away(root.path)
    os.chmod(root.path.parent, 0o711)
    result = command_line(root.path, "sweep", "--delete", "--json", before=as_nobody)
    assert result.returncode == 1, result.stdout + result.stderr
    report = json.loads(result.stdout)
    (failed,) = report["failed"]
    assert failed["problems"] == [f"process {process.pid} could not be ended"]
    assert [leftover["name"] for leftover in report["removed"]] == [other.run_id]
    assert process.poll() is None
    # Nor has it been stopped.
    process.stdin.close()
    assert process.wait() == 0


KEPT = line(2, op="kept", entry=2, kind="kept", name="x", facts={})

#: What a line may say that no session of ours does.
STRANGE = {
    "a kind that is none": created(2, [], "x", {}),
    "no name": created(2, "container", None, {}),
    "facts that are none": created(2, "container", "x", [["pid", 1]]),
    "a number without end": created(2, "container", "x", {}).replace(b'"n": 2', b'"n": Infinity'),
    "an infinite number": line(math.inf, op="note"),  # type: ignore[arg-type]
    "a number below": line(-5, op="note"),
    "an entry that is none": line(2, op="removed", entry={}, kind="x", name="x", facts={}),
    "kept since a time of nowhere": KEPT + line(3, op="end", at="2026-11-23T21:16:23"),
    "kept until after the end of time": KEPT + line(3, op="end", at="9999-12-31T23:59:59+00:00"),
    "no time": line(2, op="end", at=5),
    "a pid above all": created(2, "process", "x", {"boot_id": "b", "pid": 2**70, "started": 1}),
    "a pid of a thousand digits": created(
        2, "process", "x", {**ProcessIdentity.of(os.getpid()).to_dict(), "pid": 10**1000}
    ),
    "all processes": created(2, "process", "x", {**ProcessIdentity.of(os.getpid()).to_dict(), "pid": -1}),
    "another host": line(2, op="begin", host={"name": ["x"], "machine_id": 5}),
    "a path that leads out": created(2, "directory", "../../precious", {}),
    "an absolute path": created(2, "directory", "/", {}),
    "not an object": b"[1, 2]\n",
    "deep": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_a_strange_line_costs_itself_alone(root, precious, text):
    strange, other = make_session(root), make_session(root)
    with (strange.path / "journal").open("ab") as file:
        file.write(text)
    for session in (strange, other):
        session.release()
    report = sweep(root, delete=True, kept=True)
    assert [leftover.name for leftover in report.removed] == sorted([strange.run_id, other.run_id])
    assert (report.failed, report.reported) == ([], [])
    assert_untouched(precious)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=2) | st.dictionaries(st.text(max_size=5), children, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(["n", "at", "entry", "kind", "name", "facts", "host"]), _ANY),
    st.sampled_from(["begin", "intend", "created", "removed", "kept", "end", "note"]),
)
def test_no_line_makes_a_sweep_fail(root, fields, operation):
    usual = {"kind": "process", "name": "x", "facts": {}, "host": {"name": "h", "machine_id": "m"}}
    session = make_session(root)
    with (session.path / "journal").open("ab") as file:
        file.write(line(2, **{**usual, **fields, "op": operation}))
    session.release()
    report = sweep(root, delete=True, kept=True)
    # By some it is another machine's.
    assert len(report.removed + report.reported) >= 1
    for left in root.sessions.iterdir():
        (left / "journal").unlink()


def _socket(path: Path) -> None:
    # The kernel's limit for the path of a socket is short.
    before = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.fchdir(before)
        os.close(before)


def _endless(path: Path) -> None:
    assert os.geteuid() == 0, "this test makes a device, for which it needs root"
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))


NO_FILES = {
    "pipe": os.mkfifo,
    "socket": _socket,
    "directory": Path.mkdir,
    "device": _endless,
    "link": lambda path: path.symlink_to(path.with_name("precious-journal")),
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("name", ["journal", "session.json", "lock"])
def test_what_is_no_file_holds_nobody_up(root, name, make):
    planted, other = make_session(root), make_session(root)
    for session in (planted, other):
        session.release()
    path = planted.path / name
    path.rename(planted.path / "precious-journal")
    make(path)
    report = sweep(root, delete=True)
    names = [leftover.name for leftover in report.removed]
    assert other.run_id in names
    if name == "session.json" and make is Path.mkdir:
        # All else is gone; a directory is not removed as a file.
        (failure,) = report.failed
        assert failure.problems == [f"{planted.run_id}: [Errno 21] Is a directory: 'session.json'"]
    elif name == "session.json":
        # The journal says whose it is.
        assert planted.run_id in names
    elif name == "journal":
        (leftover,) = report.reported
        assert "its journal is not read" in leftover.reason
        assert (planted.path / "scratch" / "file").exists()
    else:
        assert (planted.path / "scratch" / "file").exists()


@pytest.mark.parametrize("name", ["journal", "session.json", "lock"])
def test_a_giant_is_not_read_into_memory(root, name):
    session = make_session(root)
    session.release()
    os.truncate(session.path / name, 1 << 30)
    result = subprocess.run(
        [sys.executable, "-c", SWEEP_WITH_LITTLE_MEMORY, str(root.path)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    if name == "journal":
        assert result.stdout.startswith("damaged its journal is not read: [Errno 27] It has more than")
    else:
        assert result.stdout == "dead its keeper is gone\n\n"
