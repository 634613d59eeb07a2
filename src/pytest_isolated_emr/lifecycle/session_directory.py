"""A session's directory, which others see only while its keeper holds the lock in it, or after its death.

The lock is the kernel's (``flock``), so it goes with the process that holds it, whatever ends that process.

The keeper takes it through filelock. Those who look at a session of somebody else use ``flock`` itself, as
filelock has neither of the two things they need: a *shared* lock on that same file, so that two probes at
once do not take each other for a keeper, and an open that never creates the file, so that looking at a
directory that is just being removed puts nothing into it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from pytest_isolated_emr.errors import StateRootUnusable
from pytest_isolated_emr.lifecycle.host import Host, boot_id, this_host
from pytest_isolated_emr.lifecycle.journal import JOURNAL_NAME, Journal
from pytest_isolated_emr.lifecycle.kernel_lock import try_lock
from pytest_isolated_emr.lifecycle.private_files import read_private
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity
from pytest_isolated_emr.lifecycle.removal import clear_directory
from pytest_isolated_emr.lifecycle.run_id import is_run_id, started_at
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE, StateRoot

LOCK_NAME = "lock"
METADATA_NAME = "session.json"

#: What survives the session for a look: scratch and logs of failed tests.
KEPT_NAME = "kept"

#: What a session is before it has an owner.
WARMING, SPARE = "warming", "spare"

#: What a directory is called until it is locked.
NEW_PREFIX = ".new-"

# As much as a command line can have, twice over.
_MOST_BYTES = 1 << 22

# Probes hold the lock for microseconds; who meets one waits this long at most.
_PROBE_PATIENCE_SECONDS = 2.0


class SessionAlive(Exception):
    """Somebody holds the session's lock: its keeper, or a sweep that is at it already."""


@dataclass(frozen=True)
class SessionMetadata:
    """What others may know of a session.

    :param run_id: its name.
    :param host: the machine that it runs on.
    :param boot_id: the boot of that machine.
    :param uid: the user.
    :param keeper: the keeper's process.
    :param started: when, in ISO 8601 with the offset from UTC.
    :param cwd: the directory that pytest was started in.
    :param command: the command line of the client.
    :param backend: where Spark runs.
    :param versions: versions of parts, by their name.
    :param state: ``session``; :data:`SPARE` where it waits for an owner, :data:`WARMING` where it gets ready for that.
    """

    run_id: str
    host: Host
    boot_id: str
    uid: int
    keeper: ProcessIdentity
    started: str
    cwd: str
    command: list[str]
    backend: str
    versions: dict[str, str]
    state: str = "session"

    @property
    def is_spare(self) -> bool:
        """Whether it has no owner yet."""
        return self.state in (WARMING, SPARE)

    @property
    def began(self) -> datetime:
        """When it started, in UTC; by its run id where it says nothing that can be understood."""
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(self.started).astimezone(timezone.utc)
        return started_at(self.run_id)

    @classmethod
    def of_this_process(
        cls,
        run_id: str,
        *,
        started: str,
        cwd: str,
        command: list[str],
        backend: str,
        versions: dict[str, str],
        state: str = "session",
    ) -> SessionMetadata:
        """Return the metadata of a session whose keeper is this process.

        :param run_id: the session's name.
        :param started: when, in ISO 8601 with the offset from UTC.
        :param cwd: the directory that pytest was started in.
        :param command: the command line of the client.
        :param backend: where Spark runs.
        :param versions: versions of parts, by their name.
        :param state: what it is now.
        """
        keeper = ProcessIdentity.of(os.getpid())
        return cls(
            run_id,
            this_host(),
            boot_id(),
            os.geteuid(),
            keeper,
            started,
            cwd,
            command,
            backend,
            versions,
            state,
        )


class SessionDirectory:
    """The directory of a live session, held by its keeper. Get one by :meth:`create`.

    :param path: where it is.
    :param run_id: the session's name.
    :param journal: its open journal.
    """

    def __init__(self, path: Path, run_id: str, journal: Journal, lock: FileLock) -> None:
        self.path = path
        self.run_id = run_id
        self.journal = journal
        self._lock = lock

    @classmethod
    def create(cls, root: StateRoot, run_id: str) -> SessionDirectory:
        """Create a session's directory and lock it; others see it only when it is locked.

        :param root: the state root, opened already.
        :param run_id: the session's name.
        :raises ValueError: if that is no run id.
        :raises FileExistsError: if there is a session of that name.
        :raises StateRootUnusable: if the file system has no locks that the kernel frees.
        """
        if not is_run_id(run_id):
            raise ValueError(f"not a run id: {run_id!r}")
        new, path = root.sessions / f"{NEW_PREFIX}{run_id}", root.sessions / run_id
        if os.path.lexists(path):
            raise FileExistsError(f"there is a session {run_id} already")
        new.mkdir(mode=0o700)
        # Not of one thread: the keeper's threads come and go. The renaming below leaves filelock with a name
        # that is no more, so those of its versions that remove the file on release find nothing to remove.
        lock = FileLock(new / LOCK_NAME, mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=_PROBE_PATIENCE_SECONDS)
            if not is_alive(new):
                # filelock puts up with file systems without flock by a lock that outlives its holder.
                raise StateRootUnusable(
                    f"The file system of {root.path} has no locks that the kernel frees.",
                    checked=f"whether a lock on {new / LOCK_NAME} is seen by flock",
                    cure=f"Set {HOME_VARIABLE} to a directory on a local disk.",
                )
            # Its first line says which machine the session is on, so that is known of every visible session.
            journal = Journal.open(new / JOURNAL_NAME)
            new.rename(path)
        except BaseException:
            # While it is locked: some versions of filelock remove the lock on release, and a sweep touches
            # nothing without one. By their names: a list of them would take a descriptor, and there may be none.
            with suppress(OSError):
                for name in (JOURNAL_NAME, LOCK_NAME):
                    (new / name).unlink(missing_ok=True)
                new.rmdir()
            lock.release()
            raise
        return cls(path, run_id, journal, lock)

    def write_metadata(self, metadata: SessionMetadata) -> None:
        """Write what others may know of the session; a reader sees the old or the new, never a half.

        :param metadata: what to write.
        """
        draft = self.path / f".{METADATA_NAME}.new"
        with suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(metadata), file, indent=1)
        draft.replace(self.path / METADATA_NAME)

    def remove(self, *, keep: bool) -> list[str]:
        """Remove the directory, or all of it but what is kept for a look. The lock is still held after it.

        :param keep: whether ``kept/`` stays, and with it what says whose it is.
        :return: what could not be removed, and why; then the directory stays, for the sweep.
        """
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            return remove_session(self.path, directory, keep=keep)
        finally:
            os.close(directory)

    def release(self) -> None:
        """Close the journal and give up the lock: from now on the session is dead."""
        self.journal.close()
        self._lock.release()


def session_directories(root: StateRoot) -> list[Path]:
    """Return the directories of this user's sessions, live and dead, in the order of their run ids.

    :param root: the state root.
    """
    found = []
    for path in sorted(root.sessions.iterdir()) if root.sessions.is_dir() else ():
        # It may have been removed meanwhile.
        with suppress(FileNotFoundError):
            status = path.lstat()
            if is_run_id(path.name) and stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                found.append(path)
    return found


def read_metadata(path: Path) -> SessionMetadata | None:
    """Read what a session says of itself; None if it says nothing that can be understood.

    :param path: its directory.
    """
    try:
        return _metadata(json.loads(read_private(path / METADATA_NAME, _MOST_BYTES)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def is_alive(path: Path) -> bool:
    """Tell whether somebody holds the lock of a session.

    :param path: its directory.
    :raises OSError: if it has no lock file, or one that cannot be opened.
    """
    descriptor = os.open(path / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return not try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


@contextmanager
def take_over(path: Path) -> Iterator[int]:
    """Hold the lock of a dead session, so that nobody else removes it at the same time.

    :param path: its directory.
    :return: a descriptor of the directory, for all that is done in it.
    :raises SessionAlive: if somebody holds the lock.
    :raises OSError: if the directory is gone, is a link or has no lock file.
    """
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        descriptor = os.open(LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        try:
            _lock_exclusively(descriptor, path)
            # Another sweep may have removed the session between the opening and the locking.
            if not _is_same(descriptor, directory) or not os.path.samestat(os.fstat(directory), path.lstat()):
                raise FileNotFoundError(f"{path} was removed meanwhile")
            yield directory
        finally:
            os.close(descriptor)
    finally:
        os.close(directory)


def remove_session(path: Path, directory: int, *, keep: bool) -> list[str]:
    """Remove a session's directory, whose lock the caller holds; the lock goes last.

    :param path: where it is.
    :param directory: a descriptor of it.
    :param keep: whether ``kept/`` stays, and with it what says whose it is.
    :return: what could not be removed, and why; then what is needed to try again stays as well.
    """
    own = (METADATA_NAME, JOURNAL_NAME, LOCK_NAME)
    problems = clear_directory(directory, spared=(*own, KEPT_NAME) if keep else own)
    if problems or keep:
        return problems
    # A sweep that is killed on the way leaves what the next one needs: the lock until nothing else is there.
    try:
        for name in own:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        with suppress(FileNotFoundError):
            # A sweep that finds it empty at this moment removes it.
            path.rmdir()
    except OSError as error:
        problems.append(f"{path.name}: {error}")
    return problems


def _lock_exclusively(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + _PROBE_PATIENCE_SECONDS
    while not try_lock(descriptor, fcntl.LOCK_EX):
        # A shared lock is refused only by a keeper's or a sweep's. If it is not, a probe was in the way.
        if not try_lock(descriptor, fcntl.LOCK_SH) or time.monotonic() > deadline:
            raise SessionAlive(str(path))
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(0.002)


def _is_same(lock: int, directory: int) -> bool:
    held = os.fstat(lock)
    named = os.stat(LOCK_NAME, dir_fd=directory, follow_symlinks=False)
    return stat.S_ISREG(held.st_mode) and os.path.samestat(held, named)


def _metadata(fields: dict[str, Any]) -> SessionMetadata:
    return SessionMetadata(
        run_id=_text(fields["run_id"]),
        host=Host.from_dict(fields["host"]),
        boot_id=_text(fields["boot_id"]),
        uid=int(fields["uid"]),
        keeper=ProcessIdentity.from_dict(fields["keeper"]),
        started=_text(fields["started"]),
        cwd=_text(fields["cwd"]),
        command=[_text(word) for word in fields["command"]],
        backend=_text(fields["backend"]),
        versions={_text(name): _text(version) for name, version in fields["versions"].items()},
        state=_text(fields.get("state", "session")),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value
