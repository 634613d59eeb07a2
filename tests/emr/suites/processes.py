"""Processes of clusters by the pids that they know themselves by; in a container these are the container's."""

import contextlib
import time
from pathlib import Path

import psutil


def process_of(cluster, pid):
    """Return a process of a cluster's commands; None if there is none."""
    for process in psutil.process_iter():
        # Others end meanwhile, or are none of ours to look at.
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("EMR_CLUSTER_ID") == cluster and _own_pid(process) == pid:
                return process
    return None


def assert_gone(cluster, pid):
    deadline = time.monotonic() + 30
    while process_of(cluster, pid) is not None:
        assert time.monotonic() < deadline, f"{pid} of {cluster} still runs"
        time.sleep(0.02)


def _own_pid(process):
    status = Path("/proc", str(process.pid), "status")
    if not status.exists():
        return process.pid
    # From the outermost namespace to its own (https://man7.org/linux/man-pages/man5/proc_pid_status.5.html).
    return int(
        next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()[-1]
    )
