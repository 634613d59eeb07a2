"""The containers of EMR clusters: each cluster has one, which is its only instance, and goes with it.

It is made when a cluster is known to have commands, as one without any needs none. Where it ends before its cluster,
the next command gets another one, with the same directory: HDFS, the metastore and what was installed are there.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import ClusterRequest, CommandRequest
from pytest_isolated_emr.backends.docker.container import Container, Mounts

#: The ports on which the servers of a cluster's sessions listen in its container, as many as there can be at once.
SESSION_PORTS = tuple(range(15002, 15010))


@dataclass
class _Cluster:
    """What there is of a cluster.

    :param request: what it began with.
    :param container: the one that it has, or had last.
    :param starting: returns when that one can be asked.
    :param containers: how many it has had.
    :param kills: of the one that it has, how many processes were killed for memory.
    """

    request: ClusterRequest
    container: Container | None = None
    starting: asyncio.Task[None] | None = None
    containers: int = 0
    kills: int = 0


class ClusterContainers:
    """Runs the commands of all clusters of a session.

    :param make: makes a container for a role, not started.
    :param mounts: returns what a cluster's container sees of this machine.
    """

    def __init__(self, make: Callable[[str], Container], mounts: Callable[[ClusterRequest], Mounts]) -> None:
        self._make = make
        self._mounts = mounts
        self._clusters: dict[str, _Cluster] = {}
        self._ending: dict[str, asyncio.Task[list[str]]] = {}
        self._is_closed = False

    def begin(self, request: ClusterRequest) -> None:
        """Take over that there is a cluster."""
        if not self._is_closed and request.cluster not in self._ending:
            self._clusters[request.cluster] = _Cluster(request)

    async def look(self, cluster: str) -> dict[str, Any]:
        """Return what the image of a cluster's container has.

        :raises IsolatedEmrError: the container cannot be made, or the cluster has ended.
        """
        one = self._clusters.get(cluster)
        if one is None:
            raise _over(cluster)
        return await (await self._container_of(one)).look()

    def prepare(self, cluster: str) -> None:
        """Begin to start a cluster's container."""
        one = self._clusters.get(cluster)
        if one is not None:
            self._start(one)

    async def run(self, request: CommandRequest) -> int:
        """Run a command to its end, and return its exit code, negative for a signal.

        One that comes after its cluster's end, as its files were fetched meanwhile, is not started.
        """
        one = self._clusters.get(request.cluster)
        if one is None:
            return -signal.SIGKILL
        for log in (request.stdout, request.stderr):
            log.touch(mode=0o600)
        try:
            container = await self._container_of(one)
            returncode = await container.run(
                request.name,
                request.command,
                environ=request.environ,
                cwd=request.cwd,
                stdout=request.stdout,
                stderr=request.stderr,
            )
            kills = await container.kills_for_memory()
        except errors.IsolatedEmrError as error:
            if request.cluster in self._clusters:
                _say(request, str(error))
            return -signal.SIGKILL
        if returncode != 0 and kills > one.kills:
            _say(request, container.killed_for_memory)
        one.kills = max(kills, one.kills)
        return returncode

    async def signal(self, cluster: str, name: str, number: int) -> bool:
        """Send a signal to a running command; tell whether there is one."""
        container = self._running(cluster)
        try:
            return container is not None and await container.signal(name, number)
        except errors.ContainerEnded:
            return False

    async def end(self, cluster: str, name: str) -> bool:
        """End a running command with all that descends from it; tell whether there is one."""
        container = self._running(cluster)
        try:
            return container is not None and await container.end(name)
        except errors.ContainerEnded:
            return False

    async def published(self, cluster: str, port: int) -> int | None:
        """Return the port of 127.0.0.1 that leads to one of a cluster's container; None if that has ended."""
        container = self._running(cluster)
        return None if container is None else await container.published(port)

    async def end_cluster(self, cluster: str) -> list[str]:
        """Remove a cluster's container, start nothing in it from now on, and return what could not be removed."""
        if cluster not in self._ending:
            # Its end may be asked for twice; both wait until the container is gone.
            self._ending[cluster] = asyncio.create_task(self._end(self._clusters.pop(cluster, None)))
        return await asyncio.shield(self._ending[cluster])

    async def close(self) -> list[str]:
        """Remove the containers of all clusters, and return what could not be removed."""
        self._is_closed = True
        clusters = {*self._clusters, *self._ending}
        results = await asyncio.gather(*(self.end_cluster(cluster) for cluster in clusters))
        return [problem for problems in results for problem in problems]

    async def _end(self, one: _Cluster | None) -> list[str]:
        if one is None or one.container is None or one.starting is None:
            return []
        # It runs to its end, or its container would be nobody's.
        await asyncio.wait([one.starting])
        return await one.container.remove()

    async def _container_of(self, one: _Cluster) -> Container:
        await asyncio.shield(self._start(one))
        assert one.container is not None
        return one.container

    def _start(self, one: _Cluster) -> asyncio.Task[None]:
        """Return what starts its container, a new one where it has none that runs."""
        if one.starting is None or (one.starting.done() and self._running(one.request.cluster) is None):
            before = one.container
            one.containers += 1
            role = f"cluster-{one.request.cluster}" + (f"-{one.containers}" if before else "")
            one.container, one.kills = self._make(role), 0
            one.starting = asyncio.create_task(self._launch(one.request, one.container, before))
            # No command may ever ask for it; then its failure is nobody's either.
            one.starting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return one.starting

    async def _launch(self, request: ClusterRequest, container: Container, before: Container | None) -> None:
        if before is not None:
            # What cannot be removed stays in the journal, for the sweep.
            await before.remove()
        await container.start(self._mounts(request), SESSION_PORTS if request.has_sessions else ())

    def _running(self, cluster: str) -> Container | None:
        """Return a cluster's container if it is started and has not ended."""
        one = self._clusters.get(cluster)
        if one is None or one.container is None or one.starting is None or not one.starting.done():
            return None
        has_failed = one.starting.exception() is not None or bool(one.container.end_reason)
        return None if has_failed else one.container


def _over(cluster: str) -> errors.ContainerEnded:
    return errors.ContainerEnded(
        f"The cluster {cluster} has ended.",
        checked="the clusters of the session",
        cure="Nothing is to be done: who ended it asked for that.",
    )


def _say(request: CommandRequest, words: str) -> None:
    """Have a command's log end with words that its failure is known by."""
    with request.stderr.open("a", encoding="utf-8") as stderr:
        stderr.write(f"isolated-emr: Error: {words}\n")
