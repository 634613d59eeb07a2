"""Processes known by boot, pid and start time, and how to end them with everything that descends from them.

A pid alone says nothing: the process it stood for may be gone and the number given to a bystander.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from pytest_isolated_emr.lifecycle.host import boot_id
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_VARIABLE

#: How long the kernel may take to end a killed process; only one that hangs in a system call takes longer.
KILL_WAIT_SECONDS = 5.0

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, never mistaken for another one that got its pid.

    :param boot_id: the boot of the machine that it ran in.
    :param pid: its number.
    :param started: its start time: clock ticks since boot on Linux, microseconds since 1970 elsewhere.
    """

    boot_id: str
    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the identity of a running process (or of a zombie, whose pid is still taken).

        :param pid: its number.
        :raises ProcessLookupError: if there is no such process.
        """
        found = _status(pid)
        if found is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(boot_id(), pid, found.started)

    @classmethod
    def of_child(cls, pid: int) -> ProcessIdentity:
        """Return the identity of a process that was started just now, and may have ended and been reaped since.

        :param pid: its number.
        """
        try:
            return cls.of(pid)
        except ProcessLookupError:
            # No process was started at the boot itself: this one is never taken for another.
            return cls(boot_id(), pid, 0)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ProcessIdentity:
        """Read what :meth:`to_dict` gave.

        :param fields: the fields as read from a file; others among them are ignored.
        :raises ValueError: if they are not those of a process.
        """
        boot, pid, started = fields.get("boot_id"), fields.get("pid"), fields.get("started")
        # A pid of 0 or below would stand for a whole process group in kill().
        if not (isinstance(boot, str) and type(pid) is int and type(started) is int and pid > 0):
            raise ValueError(f"not a process: {fields!r}")
        return cls(boot, pid, started)

    def to_dict(self) -> dict[str, str | int]:
        """Return the identity as it is written to files."""
        return asdict(self)

    def signal(self, number: int) -> None:
        """Send a signal to this very process, or to none if it is gone.

        :param number: the signal.
        """
        _send(self, signal.Signals(number))

    def is_alive(self) -> bool:
        """Tell whether this very process still runs. A zombie does not."""
        if self.boot_id != boot_id():
            return False
        found = _status(self.pid)
        return found is not None and found.started == self.started and found.state not in "ZX"


def end_tree(
    identities: Iterable[ProcessIdentity],
    grace_seconds: float = 0.0,
    *,
    spared: Collection[ProcessIdentity] = (),
) -> list[ProcessIdentity]:
    """End processes and all their descendants, and wait until they are gone.

    :param identities: the processes; those that are gone, or whose pid is another's by now, are passed over.
    :param grace_seconds: how long they may take to end by SIGTERM before they are killed; 0 kills at once.
    :param spared: processes that survive with all that descends from them.
    :return: those that could not be ended.
    """
    roots = [identity for identity in identities if identity.is_alive()]
    members = _with_descendants(roots, spared)
    if grace_seconds > 0:
        for member in members:
            _send(member, signal.SIGTERM)
        _wait_until_gone(members, grace_seconds)
    # A process that forks while it is being listed would leave a child behind. A stopped one forks no more,
    # so stop all that is found until nothing new is.
    stopped: set[ProcessIdentity] = set()
    while new := _with_descendants(members, spared) - stopped:
        for member in new:
            _send(member, signal.SIGSTOP)
        stopped |= new
        members |= new
    for member in members:
        _send(member, signal.SIGKILL)
    return _wait_until_gone(members, KILL_WAIT_SECONDS)


def descendants_of(identity: ProcessIdentity) -> set[ProcessIdentity]:
    """Return all that descends from a process now.

    :param identity: the process.
    """
    return _with_descendants([identity], ()) - {identity}


def processes_of(run_id: str) -> list[ProcessIdentity]:
    """Find the running processes of this user that the keeper of a session started, directly or not.

    :param run_id: the session.
    """
    return processes_with(RUN_ID_VARIABLE, run_id)


def processes_with(variable: str, value: str) -> list[ProcessIdentity]:
    """Find the running processes of this user that were started with an environment variable.

    :param variable: its name.
    :param value: its value.
    """
    return processes_by(variable).get(value, [])


def processes_by(variable: str) -> dict[str, list[ProcessIdentity]]:
    """Find the running processes of this user that were started with an environment variable, by its value.

    :param variable: its name.
    """
    found: dict[str, list[ProcessIdentity]] = {}
    for process in psutil.process_iter():
        # Processes of others, and those that end meanwhile, cannot be read: they are none of ours.
        with suppress(psutil.Error, OSError):
            if process.uids().effective != os.geteuid() or process.pid == os.getpid():
                continue
            # The identity first: what is read from a pid afterwards is checked against it when it is used.
            identity = ProcessIdentity.of(process.pid)
            value = process.environ().get(variable)
            if value is not None and identity.is_alive():
                found.setdefault(value, []).append(identity)
    return found


def without_trees(
    identities: Iterable[ProcessIdentity], spared: Iterable[ProcessIdentity]
) -> set[ProcessIdentity]:
    """Return those of the processes that neither are among others nor descend from them.

    :param identities: the processes.
    :param spared: the others.
    """
    wanted, others = set(identities), list(spared)
    # Most often there is nothing left over, or nobody else, and then nothing to look for.
    return wanted - _descend(others, _children()) if wanted and others else wanted


def become_subreaper() -> bool:
    """Let orphaned descendants become children of this process, not of init, and tell whether they will."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def raise_oom_score(pid: int, score: int = 500) -> bool:
    """Let the kernel end a process sooner than others when memory runs out, and tell whether it will.

    :param pid: the process.
    :param score: its new ``oom_score_adj``; one that is higher already stays.
    """
    path = Path(f"/proc/{pid}/oom_score_adj")
    try:
        if int(path.read_text()) < score:
            path.write_text(str(score))
    except OSError:
        return False
    return True


class _Status(NamedTuple):
    state: str
    parent: int
    started: int


def _status(pid: int) -> _Status | None:
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command, in parentheses, may contain spaces and parentheses itself.
        fields = text.rpartition(")")[2].split()
        return _Status(fields[0], int(fields[1]), int(fields[19]))
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            state = "Z" if process.status() == psutil.STATUS_ZOMBIE else "R"
            return _Status(state, process.ppid(), round(process.create_time() * 1_000_000))
    except psutil.NoSuchProcess:
        return None


def _with_descendants(
    roots: Iterable[ProcessIdentity], spared: Iterable[ProcessIdentity]
) -> set[ProcessIdentity]:
    children = _children()
    found = _descend(roots, children) - _descend(spared, children)
    # A sweep may itself have been started by what it ends.
    return {identity for identity in found if identity.pid != os.getpid()}


def _children() -> dict[int, list[ProcessIdentity]]:
    """Return all processes by their parents' pids, in one look at the machine."""
    found: dict[int, list[ProcessIdentity]] = {}
    for pid in psutil.pids():
        # Some of those of other users cannot be read on some systems.
        with suppress(psutil.AccessDenied):
            status = _status(pid)
            if status is not None:
                identity = ProcessIdentity(boot_id(), pid, status.started)
                found.setdefault(status.parent, []).append(identity)
    return found


def _descend(
    roots: Iterable[ProcessIdentity], children: dict[int, list[ProcessIdentity]]
) -> set[ProcessIdentity]:
    found: set[ProcessIdentity] = set()
    waiting = list(roots)
    while waiting:
        identity = waiting.pop()
        # One that is alive now had its pid to itself while the children were listed, so they are its own.
        if identity not in found and identity.is_alive():
            found.add(identity)
            waiting += children.get(identity.pid, [])
    return found


def _send(identity: ProcessIdentity, number: signal.Signals) -> None:
    """Send a signal to this very process, or to none."""
    if sys.platform == "linux":
        handle = _open_handle(identity)
        if handle is not None:
            # The handle stands for one process for ever, so nothing comes between the check and the signal.
            try:
                if identity.is_alive():
                    with suppress(ProcessLookupError, PermissionError):
                        signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)
            return
    if identity.is_alive():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(identity.pid, number)


def _open_handle(identity: ProcessIdentity) -> int | None:
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    # Old kernels and the filters of some containers have no pidfd; a process that is gone has none either.
    try:
        return os.pidfd_open(identity.pid)
    except OSError:
        return None


def _wait_until_gone(members: Iterable[ProcessIdentity], seconds: float) -> list[ProcessIdentity]:
    deadline = time.monotonic() + seconds
    left = []
    for member in members:
        handle = _open_handle(member)
        try:
            while member.is_alive() and (remaining := deadline - time.monotonic()) > 0:
                if handle is None:
                    time.sleep(min(0.01, remaining))
                else:
                    # poll() and not select(), which cannot take file numbers above 1023.
                    waiter = select.poll()
                    waiter.register(handle, select.POLLIN)
                    waiter.poll(remaining * 1000)
        finally:
            if handle is not None:
                os.close(handle)
        if member.is_alive():
            left.append(member)
    return left
