"""Found by each Python of a run whose clock has steps."""

from __future__ import annotations

import os
import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


# libfaketime answers it with an error since Python 3.11.
time.sleep = _sleep

# Else all that a process starts shares a semaphore of libfaketime's with it, and who is killed with that in hand, as a JVM
# is at the end of each session, leaves the others to wait for ever.
os.environ.pop("FAKETIME_SHARED", None)
