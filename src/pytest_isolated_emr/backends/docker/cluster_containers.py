"""The containers of EMR clusters: each cluster has one, which is its only instance, and goes with it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import CommandRequest
from pytest_isolated_emr.backends.docker.container import Container, Mounts
from pytest_isolated_emr.backends.docker.visible_environment import visible_environment


class ClusterContainers:
    """Runs the commands of all clusters of a session.

    :param make: makes a container for a role, not started.
    :param mounts: returns what a cluster's container sees of this machine.
    :param urls: returns URLs of this machine, and those by which containers reach the same.
    """

    def __init__(
        self,
        make: Callable[[str], Container],
        mounts: Callable[[str], Mounts],
        urls: Callable[[], dict[str, str]],
    ) -> None:
        self._make = make
        self._mounts = mounts
        self._urls = urls
        self._containers: dict[str, Container] = {}
        self._starting: dict[str, asyncio.Task[Container]] = {}
        self._ended: set[str] = set()
        self._is_closed = False

    async def run(self, request: CommandRequest) -> int:
        """Run a command to its end, and return its exit code, negative for a signal.

        One that comes after its cluster's end, as its files were fetched meanwhile, is not started.
        """
        if self._is_over(request.cluster):
            return -signal.SIGKILL
        try:
            container = await self._container_of(request.cluster)
            return await container.run(
                request.name,
                request.command,
                environ=visible_environment(request.environ, self._urls()),
                cwd=request.cwd,
                stdout=request.stdout,
                stderr=request.stderr,
            )
        except errors.ContainerEnded as error:
            with request.stderr.open("a", encoding="utf-8") as stderr:
                stderr.write(f"{error}\n")
            return -signal.SIGKILL

    async def signal(self, cluster: str, name: str, number: int) -> bool:
        """Send a signal to a running command; tell whether there is one."""
        container = self._containers.get(cluster)
        return container is not None and await container.signal(name, number)

    async def end(self, cluster: str, name: str) -> bool:
        """End a running command with all that descends from it; tell whether there is one."""
        container = self._containers.get(cluster)
        return container is not None and await container.end(name)

    async def end_cluster(self, cluster: str) -> list[str]:
        """Remove a cluster's container, start nothing in it from now on, and return what could not be removed."""
        self._ended.add(cluster)
        starting = self._starting.pop(cluster, None)
        if starting is not None:
            # It runs to its end, or its container would be nobody's.
            await asyncio.wait([starting])
        container = self._containers.pop(cluster, None)
        return [] if container is None else await container.remove()

    async def close(self) -> list[str]:
        """Remove the containers of all clusters, and return what could not be removed."""
        self._is_closed = True
        clusters = {*self._containers, *self._starting}
        results = await asyncio.gather(*(self.end_cluster(cluster) for cluster in clusters))
        return [problem for problems in results for problem in problems]

    async def _container_of(self, cluster: str) -> Container:
        if cluster not in self._starting:
            container = self._containers[cluster] = self._make(f"cluster-{cluster}")
            self._starting[cluster] = asyncio.create_task(self._start(cluster, container))
        return await asyncio.shield(self._starting[cluster])

    async def _start(self, cluster: str, container: Container) -> Container:
        await container.start(self._mounts(cluster))
        return container

    def _is_over(self, cluster: str) -> bool:
        return self._is_closed or cluster in self._ended
