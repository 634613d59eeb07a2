"""What befalls a run: a signal to one of its processes, damage to one of its files."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.place import Place
from tests.chaos.plan import Fault
from tests.chaos.proc import Process, all_processes
from tests.chaos.started_run import StartedRun, descendants, is_spare

_SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
# So long a process of the wanted kind is waited for.
_PATIENCE = 1.0
_LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Strike:
    """A fault that came about.

    :param fault: which one.
    :param role: what was struck: ``pytest``, ``worker``, ``keeper``, ``endpoint``, ``jvm``, ``spare``, ``other``, ``file``.
    :param what: the process or the file, in words.
    :param over: when it was over, by the monotonic clock.
    """

    fault: Fault
    role: str
    what: str
    over: float


def strike(fault: Fault, run: StartedRun, place: Place) -> Strike | None:
    """Wait for the fault's moment, and do it. None if there was nothing to be struck.

    :param fault: which one.
    :param run: the run that it befalls.
    :param place: where that is.
    """
    if not run.await_moment(fault.moment):
        return None
    time.sleep(fault.delay)
    if not fault.target:
        return _damage(fault, run, place)
    found = _find(fault, run, place)
    if found is None:
        return None
    role, process = found
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    try:
        # What has the number now may be another one.
        if not process.is_alive():
            return None
        if fault.seconds:
            signal.pidfd_send_signal(handle, signal.SIGSTOP)
            time.sleep(fault.seconds)
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGCONT)
        else:
            signal.pidfd_send_signal(handle, _SIGNALS[fault.what])
    except ProcessLookupError:
        return None
    finally:
        os.close(handle)
    return Strike(fault, role, str(process), time.monotonic())


def _find(fault: Fault, run: StartedRun, place: Place) -> tuple[str, Process] | None:
    finders: dict[str, Callable[[], list[Process]]] = {
        "pytest": run.pytest,
        "worker": run.workers,
        "keeper": run.keepers,
        "endpoint": lambda: [each for each in _owned(run) if _role(each) == "endpoint"],
        "jvm": lambda: [each for each in _owned(run) if _role(each) == "jvm"],
        "spare": lambda: [
            each for each in all_processes() if is_spare(each) and each.mentions(str(place.home))
        ],
        "any": lambda: [*run.pytest(), *run.workers(), *run.keepers(), *_owned(run)],
    }
    # Not every run has workers.
    target = fault.target if fault.target != "worker" or "-n" in run.run.options else "any"
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        # The command's first moments are the start of another one.
        found = [each for each in finders[target]() if each.environ]
        if found:
            chosen = random.Random(str(fault)).choice(found)
            return (target if target != "any" else _role(chosen)), chosen
        if run.over.is_set() and target != "spare" and not run.keepers():
            return None
        time.sleep(_LOOK_SECONDS)
    return None


def _owned(run: StartedRun) -> list[Process]:
    """Return what its keeper has started, in containers too."""
    found = {each.pid: each for keeper in run.keepers() for each in descendants(keeper)}
    for name in run.run_ids():
        for each in all_processes():
            if name.encode() in each.environ and _role(each) not in ("pytest", "worker"):
                found[each.pid] = each
    return list(found.values())


def _role(process: Process) -> str:
    for part, role in (
        ("-m pytest ", "pytest"),
        ("sys.stdin.readline", "worker"),
        ("-m pytest_isolated_emr.keeper", "keeper"),
        ("-m pytest_isolated_emr.aws.endpoint", "endpoint"),
        ("/java ", "jvm"),
    ):
        if part in process.command:
            return role
    return "other"


def _damage(fault: Fault, run: StartedRun, place: Place) -> Strike | None:
    dice = random.Random(str(fault))
    path = _file(fault.what, run, place)
    if path is None:
        return None
    garbage = dice.randbytes(dice.randint(1, 200))
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        if fault.what.endswith("clipped"):
            os.ftruncate(descriptor, dice.randint(0, size))
        else:
            os.pwrite(descriptor, garbage, dice.randint(0, size))
    finally:
        os.close(descriptor)
    return Strike(fault, "file", str(path), time.monotonic())


def _file(what: str, run: StartedRun, place: Place) -> Path | None:
    """Return the file to be damaged; None if the run has none yet, or no more."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        links = [link for keeper in run.keepers() for link in keeper.links()]
        for link in links:
            path = Path(link)
            if what == "ticket garbled":
                if path.parent == place.home / "admission" and path.name.isdigit():
                    return path
            elif path.name == "lock" and path.parent.parent == place.home / "sessions":
                name = {"journal": "journal", "metadata": "session.json", "lock": "lock"}[what.split()[0]]
                return path.parent / name
        if run.over.is_set() and not links:
            return None
        time.sleep(_LOOK_SECONDS)
    return None
