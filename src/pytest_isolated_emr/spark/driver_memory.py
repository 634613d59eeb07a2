"""How large the heap of a session's Spark may grow: by the machine's memory and the workers that share it.

A heap grows as it is used, so a high bound costs nothing in a suite that needs little. What it decides is which comes first
where memory is short, an error of Spark's or the kernel's end of a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil

#: Spark does not start with less than 450 MB.
LEAST = 512 << 20
MOST = 2 << 30
# The rest is for what a JVM has besides its heap, Python, the endpoint, and whatever else runs here.
_SHARE = 0.5
#: By these a user tells Spark's launcher the same.
_VARIABLES = ("SPARK_DRIVER_MEMORY", "SPARK_MEM")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def driver_memory(environ: Mapping[str, str], memory: int) -> dict[str, str]:
    """Return the setting of the heap's bound, none where the environment says it.

    :param environ: the user's own environment, where xdist says how many workers there are.
    :param memory: the memory that all of them share, in bytes.
    """
    if any(environ.get(name) for name in _VARIABLES):
        return {}
    workers = max(1, int(environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    heap = min(max(int(memory * _SHARE) // workers, LEAST), MOST)
    return {"spark.driver.memory": f"{heap >> 20}m"}


def usable_memory(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """Return the memory that processes like this one may use together, in bytes: the machine's, or its cgroup's limit.

    :param cgroups: where the kernel shows control groups, of version 1 or 2.
    :param own: the file that names this process's.
    """
    return min([psutil.virtual_memory().total, *_limits(cgroups, own)])


def _limits(cgroups: Path, own: Path) -> list[int]:
    """Return the limits that hold for this process: its group's, and those of the groups around that."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        # Not Linux.
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        top, name = (
            (cgroups, "memory.max") if not controllers else (cgroups / "memory", "memory.limit_in_bytes")
        )
        group = top / path.lstrip("/")
        # In a container the path may be the host's, and the container's own group is the top one.
        for place in (group, *group.parents):
            if place == top or top in place.parents:
                found += _limit(place / name)
    return found


def _limit(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return []
    # "max" is no limit; version 1 has a number that no machine reaches.
    return [int(text)] if text.isdigit() else []
