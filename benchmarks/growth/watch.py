"""The machine while runs share it: the least memory that is left, the most that their processes hold, and who is killed for it."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType

import psutil

from pytest_isolated_emr.lifecycle.memory import available_memory

_EVERY_SECONDS = 0.5
_VMSTAT = Path("/proc/vmstat")


class Watch:
    """Looks twice a second, from its entry to its exit.

    :ivar least_available: megabytes that were left at least, of the machine's or of the control group's.
    :ivar most_held: megabytes that all watched processes had at one moment at most, without what is of files.
    :ivar killed: how many processes the kernel killed for memory meanwhile, anybody's.
    """

    def __init__(self) -> None:
        self.least_available = _available()
        self.most_held = 0.0
        self.killed = 0
        self._roots: set[int] = set()
        self._killed_before = _oom_kills()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look_on)

    def add(self, pid: int) -> None:
        """Watch a process as well, with all that descends from it.

        :param pid: the process.
        """
        self._roots.add(pid)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self.killed = _oom_kills() - self._killed_before

    def _look_on(self) -> None:
        while not self._is_over.wait(_EVERY_SECONDS):
            self.least_available = min(self.least_available, _available())
            self.most_held = max(self.most_held, _held(self._roots.copy()))


def _available() -> float:
    return available_memory() / 1e6


def _held(roots: set[int]) -> float:
    """Return the megabytes of processes and their descendants, by one look at all that there are."""
    children: dict[int, list[int]] = defaultdict(list)
    held: dict[int, int] = {}
    for process in psutil.process_iter(["pid", "ppid", "memory_info"]):
        found = process.info["memory_info"]
        if found is not None:
            children[process.info["ppid"]].append(process.pid)
            # The kernel takes back by itself what is of files: jars, libraries, the archive of classes.
            held[process.pid] = found.rss - (found.shared if sys.platform == "linux" else 0)
    total, pids = 0, list(roots)
    while pids:
        pid = pids.pop()
        total += held.pop(pid, 0)
        pids += children.pop(pid, [])
    return total / 1e6


def _oom_kills() -> int:
    """Return the kernel's count; it counts those of control groups as well, and other systems have none."""
    lines = _VMSTAT.read_text().splitlines() if _VMSTAT.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
