"""What is made for a later session yields to what is at work now, and has its turn back when that session comes."""

from __future__ import annotations

import os
import re
import resource
from contextlib import suppress
from pathlib import Path

from pytest_isolated_emr.lifecycle.processes import ProcessIdentity, descendants_of

_LOWEST = 19
# https://man7.org/linux/man-pages/man7/capabilities.7.html
_CAP_SYS_NICE = 23


def lower_priority() -> int:
    """Yield to all other processes, where that can be taken back, which the kernel grants to few.

    :returns: this process's nice value before.
    """
    usual = os.nice(0)
    if _may_return_to(usual):
        os.nice(_LOWEST - usual)
    return usual


def restore_priority(usual: int) -> None:
    """Take it back, for this process and all that descends from it.

    :param usual: what :func:`lower_priority` returned.
    """
    own = ProcessIdentity.of(os.getpid())
    for identity in [own, *descendants_of(own)]:
        # Each is the leader of a group of its own, by which the kernel finds all threads.
        with suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PGRP, identity.pid, usual)


def _may_return_to(usual: int) -> bool:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return os.geteuid() == 0
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    if capabilities and int(capabilities[1], 16) >> _CAP_SYS_NICE & 1:
        return True
    # https://man7.org/linux/man-pages/man2/getrlimit.2.html: the lowest nice value is 20 less the limit.
    limit = resource.getrlimit(resource.RLIMIT_NICE)[0]
    return limit == resource.RLIM_INFINITY or 20 - limit <= usual
