"""What became the keeper's child as its own parent ended before it, such as a daemon of a step.

The keeper is the subreaper of all that it started, so an orphan of these is its child when that ends, and stays as a zombie
if nobody asks for its exit code. Init does so for everybody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def reap_orphans() -> None:
    """Take away what ends, from now on, of what this process did not start by :mod:`.children`."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, _reap)


def _reap() -> None:
    for pid in _children():
        # Another's exit code is for whoever waits for it.
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            if not _is_own(pid):
                os.waitpid(pid, os.WNOHANG)


def _children() -> Iterator[int]:
    # A kernel without these files leaves the zombies until the session ends.
    for listing in Path("/proc/self/task").glob("*/children"):
        # A thread may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield from map(int, listing.read_text().split())


def _is_own(pid: int) -> bool:
    """Tell whether the keeper started a process: each of these leads a session, which nothing that it inherits does but
    for a daemon that was not forked twice; and before it leads one, it is in the keeper's."""
    return os.getsid(pid) in (pid, os.getsid(0))
