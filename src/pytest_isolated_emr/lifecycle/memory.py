"""How much memory there is for what a session starts: the machine's, or that of the control group it runs in.

In a CI container the machine's own figures say nothing: what is killed for memory is killed by the group's limit
(https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files, and cgroup-v1/memory.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


class _Version(NamedTuple):
    """The files of one version of control groups.

    :param limit: has the most that a group may use.
    :param used: has what it uses, the cache of files included.
    :param cache: the line of ``memory.stat`` that says how much of that the kernel gives back when asked.
    """

    limit: str
    used: str
    cache: str


_V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("memory.max", "memory.current", "inactive_file")


def usable_memory(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """Return the memory that processes like this one may use together, in bytes.

    :param cgroups: where the kernel shows control groups.
    :param own: the file that names this process's.
    """
    limits = [limit for _, _, limit in _limits(cgroups, own)]
    return min([psutil.virtual_memory().total, *limits])


def available_memory(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """Return what of that is not in use now, in bytes.

    :param cgroups: where the kernel shows control groups.
    :param own: the file that names this process's.
    """
    left = [max(0, limit - _used(group, version)) for group, version, limit in _limits(cgroups, own)]
    return min([psutil.virtual_memory().available, *left])


def _limits(cgroups: Path, own: Path) -> Iterator[tuple[Path, _Version, int]]:
    """Yield the limits that hold for this process: its group's, and those of the groups around that."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        # Not Linux.
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        top, version = (cgroups / "memory", _V1) if controllers else (cgroups, _V2)
        group = top / path.lstrip("/")
        # In a container the path may be the host's, and the container's own group is the top one.
        for place in (group, *group.parents):
            if place == top or top in place.parents:
                text = _read(place / version.limit)
                # "max" is no limit; version 1 has a number that no machine reaches.
                if text.isdigit():
                    yield place, version, int(text)


def _used(group: Path, version: _Version) -> int:
    used = _read(group / version.used)
    if not used.isdigit():
        return 0
    stat = dict(line.split(" ", 1) for line in _read(group / "memory.stat").splitlines())
    return int(used) - int(stat.get(version.cache, "0"))


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
