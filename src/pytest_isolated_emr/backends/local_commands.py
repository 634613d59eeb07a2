"""Commands of EMR clusters on this machine: children of the keeper, each with all that it starts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable

from pytest_isolated_emr.backends.base import CommandRequest
from pytest_isolated_emr.keeper import children
from pytest_isolated_emr.keeper.children import Child
from pytest_isolated_emr.lifecycle.journal import Journal
from pytest_isolated_emr.lifecycle.processes import (
    ProcessIdentity,
    descendants_of,
    end_tree,
    processes_with,
)

#: Marks what a cluster's commands start, and what that starts: it ends with the cluster, whatever its parent is.
CLUSTER_VARIABLE = "ISOLATED_EMR_CLUSTER"


class LocalCommands:
    """Runs the commands of all clusters of a session.

    :param journal: the session's.
    :param variables: mark a process as the session's.
    """

    def __init__(self, journal: Journal, variables: dict[str, str]) -> None:
        self._journal = journal
        self._variables = variables
        self._running: dict[tuple[str, str], Child] = {}
        self._clusters: set[str] = set()
        self._ended: set[str] = set()
        self._is_closed = False

    async def run(self, request: CommandRequest) -> int:
        """Run a command to its end, and return its exit code, negative for a signal.

        One that comes after its cluster's end, as its files were fetched meanwhile, is not started.
        """
        if self._is_over(request.cluster):
            return -signal.SIGKILL
        key = (request.cluster, request.name)
        self._clusters.add(request.cluster)
        with request.stdout.open("ab") as output:
            child = await children.start(
                f"{request.cluster} {request.name}",
                request.command,
                journal=self._journal,
                environ=request.environ | self._variables | {CLUSTER_VARIABLE: request.cluster},
                cwd=request.cwd,
                log=request.stderr,
                stdin=subprocess.DEVNULL,
                stdout=output.fileno(),
            )
        self._running[key] = child
        if self._is_over(request.cluster):
            # It was being started while all others were looked for.
            await self.end(*key)
        try:
            return await child.wait()
        finally:
            del self._running[key]

    def signal(self, cluster: str, name: str, number: int) -> bool:
        """Send a signal to a running command; tell whether there is one."""
        child = self._running.get((cluster, name))
        if child is None:
            return False
        child.identity.signal(number)
        return True

    async def end(self, cluster: str, name: str) -> bool:
        """End a running command with all that descends from it; tell whether there is one."""
        child = self._running.get((cluster, name))
        if child is None:
            return False
        tree = await asyncio.to_thread(descendants_of, child.identity)
        await asyncio.to_thread(end_tree, [child.identity], 0.0)
        _reap(tree)
        return True

    async def end_cluster(self, cluster: str) -> list[str]:
        """End all that a cluster's commands started, start none from now on, and return what could not be ended."""
        self._ended.add(cluster)
        if cluster not in self._clusters:
            return []
        # More than its children: a daemon that a bootstrap action started has the keeper for its parent.
        found = await asyncio.to_thread(processes_with, CLUSTER_VARIABLE, cluster)
        commands = {child.identity for child in self._running.values()}
        left = await asyncio.to_thread(end_tree, found, 0.0)
        _reap(set(found) - commands)
        if not left:
            # There may be hundreds in a run, and each look goes through all processes of the machine.
            self._clusters.discard(cluster)
        return [f"process {identity.pid} of {cluster}" for identity in left]

    async def close(self) -> list[str]:
        """End the commands of all clusters, start none from now on, and return what could not be ended."""
        self._is_closed = True
        results = [await self.end_cluster(cluster) for cluster in list(self._clusters)]
        return [problem for problems in results for problem in problems]

    def _is_over(self, cluster: str) -> bool:
        return self._is_closed or cluster in self._ended


def _reap(orphans: Iterable[ProcessIdentity]) -> None:
    """Take away what is left of processes that were ended: an orphan is the keeper's child, as that is their
    subreaper, and nobody else waits for it."""
    for orphan in orphans:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(orphan.pid, os.WNOHANG)
