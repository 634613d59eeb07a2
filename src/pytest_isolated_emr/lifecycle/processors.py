"""How many processors there are for what a session starts."""

from __future__ import annotations

import os


def usable_processors() -> int:
    """Return the number of processors that this process, and what it starts, may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
