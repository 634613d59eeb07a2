from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import SoftFileLock

from pytest_isolated_emr.errors import StateRootUnusable
from pytest_isolated_emr.lifecycle import session_directory
from pytest_isolated_emr.lifecycle.host import this_host
from pytest_isolated_emr.lifecycle.journal import read_journal
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.session_directory import (
    SessionAlive,
    SessionDirectory,
    SessionMetadata,
    is_alive,
    read_metadata,
    take_over,
)
from pytest_isolated_emr.lifecycle.state_root import StateRoot

Start = Callable[..., "subprocess.Popen[str]"]
MakeMetadata = Callable[..., SessionMetadata]

#: A keeper: creates the session whose root and name it is told, and lives until its input ends.
KEEPER = """
import sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory
from pytest_isolated_emr.lifecycle.state_root import StateRoot
session = SessionDirectory.create(StateRoot(Path(sys.argv[1])), sys.argv[2])
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run_id() -> str:
    return new_run_id()


def test_it_is_alive_from_the_first_moment_until_it_is_released(root: StateRoot, run_id: str) -> None:
    session = SessionDirectory.create(root, run_id)
    assert session.path == root.sessions / run_id
    assert session.path.stat().st_mode & 0o777 == 0o700
    assert is_alive(session.path)
    session.release()
    assert not is_alive(session.path)
    # Some versions of filelock remove the file on release, and with it the proof of death.
    assert (session.path / "lock").exists()
    assert read_journal(session.path / "journal").host == this_host()


def test_it_cannot_be_seen_before_it_is_locked(
    root: StateRoot, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rename
    alive = []

    def rename(path: Path, target: Path) -> Path:
        assert not target.exists()
        alive.append(is_alive(path))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    SessionDirectory.create(root, run_id).release()
    assert alive == [True]
    assert [path.name for path in root.sessions.iterdir()] == [run_id]


def test_a_killed_keeper_is_dead_at_once(root: StateRoot, run_id: str, start: Start) -> None:
    keeper = start(KEEPER, str(root.path), run_id)
    path = root.sessions / run_id
    assert is_alive(path)
    with pytest.raises(SessionAlive), take_over(path):
        pass
    keeper.kill()
    keeper.wait()
    assert not is_alive(path)
    with take_over(path) as directory:
        assert os.path.samestat(os.fstat(directory), path.stat())


def test_what_the_keeper_starts_does_not_keep_the_lock(root: StateRoot, run_id: str, start: Start) -> None:
    code = KEEPER.replace(
        'print("ready"',
        """import subprocess
child = subprocess.Popen(
    [sys.executable, "-c", "import sys; sys.stdin.read()"],
    stdin=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    close_fds=False,
)
print("ready\"""",
    )
    keeper = start(code, str(root.path), run_id)
    keeper.kill()
    keeper.wait()
    assert not is_alive(root.sessions / run_id)


@pytest.mark.parametrize("run_id", ["..", "a", "", "x/20261123t211623-9f3c2a"])
def test_only_run_ids_name_sessions(root: StateRoot, run_id: str) -> None:
    with pytest.raises(ValueError, match="not a run id"):
        SessionDirectory.create(root, run_id)


def test_a_name_is_given_once(root: StateRoot, run_id: str) -> None:
    session = SessionDirectory.create(root, run_id)
    with pytest.raises(FileExistsError):
        SessionDirectory.create(root, run_id)
    assert is_alive(session.path)
    session.release()
    with pytest.raises(FileExistsError):
        SessionDirectory.create(root, run_id)


def test_one_that_cannot_be_made_leaves_nothing(
    root: StateRoot, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        SessionDirectory.create(root, run_id)
    assert list(root.sessions.iterdir()) == []


def test_a_file_system_without_kernel_locks_is_refused(
    root: StateRoot, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_directory, "FileLock", SoftFileLock)
    with pytest.raises(StateRootUnusable, match="no locks that the kernel frees"):
        SessionDirectory.create(root, run_id)
    assert not (root.sessions / run_id).exists()


def test_probes_do_not_take_each_other_for_a_keeper(root: StateRoot, run_id: str) -> None:
    session = SessionDirectory.create(root, run_id)
    session.release()
    with open(session.path / "lock") as other_probe:
        fcntl.flock(other_probe, fcntl.LOCK_SH)
        assert not is_alive(session.path)


def test_a_probe_holds_up_neither_a_keeper_nor_a_sweep(
    root: StateRoot, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The probe has the lock when it is wanted, and gives it up only while the other one waits.
    probes = []
    real = session_directory.time.sleep

    def end_probe(seconds: float) -> None:
        while probes:
            os.close(probes.pop())
        real(0)

    def probe(path: Path) -> None:
        probes.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        fcntl.flock(probes[-1], fcntl.LOCK_SH)

    monkeypatch.setattr(session_directory.time, "sleep", end_probe)
    real_mkdir = Path.mkdir

    def mkdir(path: Path, mode: int = 0o777, **options: bool) -> None:
        real_mkdir(path, mode, **options)
        if not (path / "lock").exists():
            probe(path / "lock")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    session = SessionDirectory.create(root, run_id)
    assert not probes
    session.release()
    probe(session.path / "lock")
    with take_over(session.path):
        assert not probes


def test_one_sweep_at_a_time_has_it(root: StateRoot, run_id: str) -> None:
    session = SessionDirectory.create(root, run_id)
    session.release()
    with take_over(session.path):
        assert is_alive(session.path)
        with pytest.raises(SessionAlive), take_over(session.path):
            pass
    with take_over(session.path):
        pass


def test_taking_over_creates_nothing(root: StateRoot, run_id: str) -> None:
    path = root.sessions / run_id
    with pytest.raises(FileNotFoundError), take_over(path):
        pass
    path.mkdir()
    with pytest.raises(FileNotFoundError), take_over(path):
        pass
    with pytest.raises(FileNotFoundError):
        is_alive(path)
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("part", ["", "lock"])
def test_taking_over_follows_no_link(root: StateRoot, run_id: str, tmp_path: Path, part: str) -> None:
    session = SessionDirectory.create(root, run_id)
    session.release()
    moved = tmp_path / "moved"
    (session.path / part).rename(moved)
    (session.path / part).symlink_to(moved)
    with pytest.raises(OSError, match=r"symbolic link|Not a directory"), take_over(session.path):
        pass


def test_what_was_removed_while_it_was_opened_is_not_taken(
    root: StateRoot, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SessionDirectory.create(root, run_id)
    session.release()
    real = session_directory._lock_exclusively

    def remove_first(descriptor: int, path: Path) -> None:
        (session.path / "lock").unlink()
        real(descriptor, path)

    monkeypatch.setattr(session_directory, "_lock_exclusively", remove_first)
    with pytest.raises(FileNotFoundError), take_over(session.path):
        pass


def test_metadata_come_back_as_they_were(root: StateRoot, run_id: str, metadata: MakeMetadata) -> None:
    session = SessionDirectory.create(root, run_id)
    assert read_metadata(session.path) is None
    session.write_metadata(metadata(run_id))
    session.write_metadata(metadata(run_id, backend="docker"))
    assert read_metadata(session.path) == metadata(run_id, backend="docker")
    assert (session.path / "session.json").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in session.path.iterdir()) == ["journal", "lock", "session.json"]
    session.release()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '"a"', "[" * 100_000, "\udcff", '{"run_id": 1}'],
)
def test_damaged_metadata_are_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "session.json").write_bytes(content.encode(errors="surrogateescape"))
    assert read_metadata(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [{"keeper": {"boot_id": "b", "pid": -1, "started": 1}}, {"host": "a"}, {"versions": []}, {"cwd": None}],
)
def test_wrong_metadata_are_none(
    tmp_path: Path, root: StateRoot, run_id: str, metadata: MakeMetadata, change: dict[str, object]
) -> None:
    session = SessionDirectory.create(root, run_id)
    session.write_metadata(metadata(run_id))
    fields = json.loads((session.path / "session.json").read_text())
    (session.path / "session.json").write_text(json.dumps({**fields, **change}))
    assert read_metadata(session.path) is None
    session.release()


def test_metadata_of_this_process(run_id: str) -> None:
    metadata = SessionMetadata.of_this_process(
        run_id, started="2026", cwd="/", command=["pytest"], backend="local", versions={}
    )
    assert metadata.keeper.pid == os.getpid()
    assert metadata.keeper.is_alive()
    assert metadata.host == this_host()


@pytest.mark.parametrize("keep", [True, False])
def test_its_keeper_removes_it_at_the_end(
    root: StateRoot, run_id: str, metadata: MakeMetadata, keep: bool
) -> None:
    session = SessionDirectory.create(root, run_id)
    session.write_metadata(metadata(run_id))
    for name in ("kept/a", "scratch/b"):
        (session.path / name).mkdir(parents=True)
    assert session.remove(keep=keep) == []
    left = [path.name for path in sorted(root.sessions.glob("*/*"))]
    assert left == (["journal", "kept", "lock", "session.json"] if keep else [])
    session.release()
    assert [path.name for path in root.sessions.iterdir()] == ([run_id] if keep else [])


def test_creating_is_quick_to_fail_when_the_root_is_gone(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(FileNotFoundError):
        SessionDirectory.create(StateRoot(tmp_path / "nowhere"), run_id)


def test_importing_it_imports_no_spark() -> None:
    code = """
import sys
import pytest_isolated_emr.lifecycle.sweep
assert not {"pyspark", "moto", "boto3", "docker"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_directory_that_a_sweep_removed_at_its_last_moment_is_no_problem(
    root: StateRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SessionDirectory.create(root, new_run_id())
    rmdir = Path.rmdir

    def removed_twice(path: Path) -> None:
        rmdir(path)
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", removed_twice)
    assert session.remove(keep=False) == []
    assert not session.path.exists()


TAKES_DOWN_ON_A_FULL_DISK = """
import asyncio, os, sys
from pathlib import Path
from pytest_isolated_emr.keeper.teardown import take_down
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory
from pytest_isolated_emr.lifecycle.state_root import StateRoot

session = SessionDirectory.create(StateRoot(Path(sys.argv[1])), sys.argv[2])
(session.path / "scratch").mkdir()
entry = session.journal.intend("process", "endpoint")
full = os.open("/dev/full", os.O_WRONLY)
os.dup2(full, session.journal._descriptor)

class Aws:
    async def close(self):
        session.journal.removed(entry)
        return []

print(asyncio.run(
    take_down(session, keep=False, adopted=[], backend=None, aws=Aws(), has_ended_all=asyncio.Event())
))
"""


def test_a_full_disk_is_no_reason_to_leave_what_fills_it(root: StateRoot, run_id: str) -> None:
    # In a process of its own: a teardown ends all that descends from the one that it runs in.
    command = [sys.executable, "-c", TAKES_DOWN_ON_A_FULL_DISK, str(root.path), run_id]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert finished.stdout == "[]\n"
    assert not (root.sessions / run_id).exists()
