"""Commands of EMR clusters on this machine: children of the keeper, each with all that it starts."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from dataclasses import dataclass

from pytest_isolated_emr.backends.base import CommandRequest
from pytest_isolated_emr.keeper import children
from pytest_isolated_emr.keeper.children import Child
from pytest_isolated_emr.lifecycle.journal import Journal
from pytest_isolated_emr.lifecycle.memory import available_memory
from pytest_isolated_emr.lifecycle.processes import (
    end_tree,
    processes_with,
)

#: Marks what a cluster's commands start, and what that starts: it ends with the cluster, whatever its parent is.
CLUSTER_VARIABLE = "ISOLATED_EMR_CLUSTER"
#: With less memory free than this, nothing is started before it is wanted.
_BYTES_AHEAD = 2 << 30


@dataclass(frozen=True)
class _Ahead:
    """A command that was started before it is wanted.

    :param child: its process.
    :param request: what it was started with.
    """

    child: Child
    request: CommandRequest

    async def forget(self) -> None:
        """Note that it has ended, and remove what it has printed, which is of no use to anybody."""
        await self.child.wait()
        for file in (self.request.stdout, self.request.stderr):
            file.unlink(missing_ok=True)


class LocalCommands:
    """Runs the commands of all clusters of a session.

    :param journal: the session's.
    :param variables: mark a process as the session's.
    """

    def __init__(self, journal: Journal, variables: dict[str, str]) -> None:
        self._journal = journal
        self._variables = variables
        self._running: dict[tuple[str, str], Child] = {}
        self._ahead: dict[tuple[str, str], _Ahead] = {}
        self._clusters: set[str] = set()
        self._ended: set[str] = set()
        self._is_closed = False

    async def start_ahead(self, request: CommandRequest) -> None:
        """Start a command that waits for a line on its standard input, unless its cluster has ended or memory is short."""
        if self._is_over(request.cluster) or available_memory() < _BYTES_AHEAD:
            return
        child = await self._start(request, stdin=subprocess.PIPE)
        self._ahead[request.cluster, request.name] = _Ahead(child, request)
        if self._is_over(request.cluster):
            await self.end_ahead(request.cluster, request.name)

    async def end_ahead(self, cluster: str, name: str) -> None:
        """End a command that was started ahead, if there is one that was not claimed."""
        ahead = self._ahead.pop((cluster, name), None)
        if ahead is not None:
            await _end_tree(ahead.child)
            await ahead.forget()

    async def run(self, request: CommandRequest) -> int:
        """Run a command to its end, and return its exit code, negative for a signal.

        One that comes after its cluster's end, as its files were fetched meanwhile, is not started.
        """
        if self._is_over(request.cluster):
            return -signal.SIGKILL
        key = (request.cluster, request.name)
        child = self._claim(request) if request.line else None
        if child is None:
            await self.end_ahead(*key)
            child = await self._start(request, stdin=subprocess.DEVNULL)
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
        await _end_tree(child)
        return True

    async def end_cluster(self, cluster: str) -> list[str]:
        """End all that a cluster's commands started, start none from now on, and return what could not be ended."""
        self._ended.add(cluster)
        if cluster not in self._clusters:
            return []
        # More than its children: a daemon that a bootstrap action started has the keeper for its parent.
        found = await asyncio.to_thread(processes_with, CLUSTER_VARIABLE, cluster)
        left = await asyncio.to_thread(end_tree, found, 0.0)
        for key in [key for key in self._ahead if key[0] == cluster]:
            if self._ahead[key].child.identity not in left:
                await self._ahead.pop(key).forget()
        if not left:
            # There may be hundreds in a run, and each look goes through all processes of the machine.
            self._clusters.discard(cluster)
        return [f"process {identity.pid} of {cluster}" for identity in left]

    async def close(self) -> list[str]:
        """End the commands of all clusters, start none from now on, and return what could not be ended."""
        self._is_closed = True
        results = [await self.end_cluster(cluster) for cluster in list(self._clusters)]
        return [problem for problems in results for problem in problems]

    async def _start(self, request: CommandRequest, *, stdin: int) -> Child:
        self._clusters.add(request.cluster)
        with request.stdout.open("ab") as output:
            return await children.start(
                f"{request.cluster} {request.name}",
                request.command,
                journal=self._journal,
                environ=request.environ | self._variables | {CLUSTER_VARIABLE: request.cluster},
                cwd=request.cwd,
                log=request.stderr,
                stdin=stdin,
                stdout=output.fileno(),
            )

    def _claim(self, request: CommandRequest) -> Child | None:
        """Return the command that was started ahead for this one, told what to do; None if there is none that runs."""
        ahead = self._ahead.get((request.cluster, request.name))
        if ahead is None or ahead.child.process.returncode is not None:
            return None
        del self._ahead[request.cluster, request.name]
        # It goes on writing to the same files.
        ahead.request.stdout.rename(request.stdout)
        ahead.request.stderr.rename(request.stderr)
        stdin = ahead.child.process.stdin
        assert stdin is not None
        stdin.write(f"{request.line}\n".encode())
        stdin.close()
        return ahead.child

    def _is_over(self, cluster: str) -> bool:
        return self._is_closed or cluster in self._ended


async def _end_tree(child: Child) -> None:
    await asyncio.to_thread(end_tree, [child.identity], 0.0)
