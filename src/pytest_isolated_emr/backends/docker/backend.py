"""The ``docker`` backend: Spark runs in containers of the session's own, which this machine's engine limits."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import BackendContext, ClusterRequest, CommandRequest, SparkRequest
from pytest_isolated_emr.backends.docker.cluster_containers import ClusterContainers
from pytest_isolated_emr.backends.docker.cluster_translation import in_container
from pytest_isolated_emr.backends.docker.container import Container, ContainerSettings, Mounts
from pytest_isolated_emr.backends.docker.engine import Engine
from pytest_isolated_emr.backends.docker.image_supply import ImageSupply
from pytest_isolated_emr.backends.docker.images import Image
from pytest_isolated_emr.backends.docker.network import SessionNetwork
from pytest_isolated_emr.backends.docker.options import DockerOptions
from pytest_isolated_emr.backends.docker.program_libraries import program_libraries
from pytest_isolated_emr.backends.docker.spark_container import Place, SparkContainer
from pytest_isolated_emr.emr.cluster_directory import directory_of
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.lifecycle.private_files import write_private

_THREADS = 32
#: The name by which Docker Desktop's containers reach the machine that it runs on.
_DESKTOP_HOST = "host.docker.internal"


class DockerBackend:
    """Starts a container for each worker that asks for Spark, and one for each EMR cluster.

    :param context: the session.
    """

    def __init__(self, context: BackendContext) -> None:
        self._context = context
        self._options = DockerOptions.from_message(context.options)
        self._sparks: dict[str, SparkContainer] = {}
        self._ending: dict[str, asyncio.Task[list[str]]] = {}
        self._is_closed = False
        self._started = 0
        self._urls: dict[str, str] = {}
        self._image: Image | None = None
        self._images = ImageSupply(self._options.image)
        self._engine: Engine | None = None
        self._network: SessionNetwork | None = None
        self._workers = 1
        self._found: dict[str, Any] = {}
        self._clusters = ClusterContainers(
            lambda role: self._make_container(role, self._workers), self._mounts_of_cluster
        )

    async def open(self) -> str | None:
        """Connect to the engine and make the session's network; return this machine's address in it."""
        # Each answer of the engine is waited for in a thread, and there may be many containers.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        engine = self._engine = await asyncio.to_thread(Engine.connect)
        self._network = SessionNetwork(
            engine, self._context.journal, self._context.run_id, is_open=self._options.is_open
        )
        await asyncio.to_thread(self._network.create)
        return None if engine.is_desktop else self._network.gateway

    def use_endpoint(self, url: str, url_by_address: str | None) -> None:
        """Take over where the private endpoint is, here and for containers."""
        self._urls = {url: url_by_address or url.replace("127.0.0.1", _DESKTOP_HOST)}

    async def waits_for(self) -> str:
        """Return how far the pull of the image is; empty when it is there."""
        return await self._images.waits_for(self._connected()[0])

    async def start_spark(self, worker: str, request: SparkRequest) -> None:
        """Start a container for a worker, in place of the one that it has."""
        await self.end_worker(worker)
        image = await self._image_there()
        if self._is_closed:
            # It waited while the session ended.
            return
        self._started += 1
        context = self._context
        directory = context.directory / "jvms" / f"{worker}-{self._started}"
        entry = context.journal.intend("directory", str(directory.relative_to(context.directory)))
        for name in ("conf", "tmp", "local"):
            (directory / name).mkdir(parents=True, mode=0o700)
        context.journal.created(entry)
        self._workers = int(request.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        container = self._make_container(f"spark-{worker}-{self._started}", self._workers)
        log = context.directory / "logs" / f"spark-{worker}.log"
        client = (self._options.python, self._options.spark)
        self._sparks[worker] = SparkContainer(
            container, image, Place(directory, log, self._options.class_data), request, self._urls, client
        )

    async def check(self, worker: str) -> None:
        """Wait until it is known that the image fits the worker's Spark."""
        spark = self._sparks.get(worker)
        if spark is not None:
            await spark.check()

    async def spark_gateway(self, worker: str) -> dict[str, Any]:
        """Wait until the worker's Spark answers; return its ``url`` and ``log``."""
        spark = self._sparks.get(worker)
        if spark is None:
            raise errors.BadRequest(
                f"No Spark was started for {worker}.",
                checked="what the session started",
                cure="Report this: the plugin asks for a start before it asks for the gateway.",
            )
        where = await asyncio.shield(spark.gateway)
        environ = spark.environment()
        return where if environ is None else {**where, "environ": environ}

    async def spark_status(self, worker: str) -> dict[str, Any]:
        """Tell whether the worker's Spark runs, or how it ended, and where its log is."""
        spark = self._sparks.get(worker)
        if spark is None:
            return {"alive": False, "exit": "none was started", "log": "", "note": ""}
        return await spark.status()

    async def end_worker(self, worker: str) -> list[str]:
        """Remove the worker's container, and return what could not be removed."""
        spark = self._sparks.pop(worker, None)
        if spark is not None:
            # Whoever ends the session meanwhile waits for it too.
            self._ending[worker] = asyncio.create_task(spark.end())
        ending = self._ending.get(worker)
        return [] if ending is None else await asyncio.shield(ending)

    async def warm_up(self, worker: str, log: Path) -> None:
        """Wait until a worker's Spark answers, and run a job in it from here."""
        environ = dict(os.environ) | self._context.variables
        await self._sparks[worker].warm_up(sys.executable, environ, self._context.journal, log)

    async def answers(self, worker: str) -> bool:
        """Tell whether a worker's Spark answers, in a container of what the image is now."""
        return await self._sparks[worker].answers()

    async def hand_over(self, worker: str, request: SparkRequest) -> None:
        """Take a worker's container, whose Spark has been started without all of the environment."""
        await self._sparks[worker].hand_over(request)

    def class_data(self) -> list[Path]:
        """Return where archives of classes were looked for, as the containers of workers were started."""
        return [spark.class_data.path for spark in self._sparks.values() if spark.class_data is not None]

    async def train(self, worker: str, log: Path) -> None:
        """Use a worker's Spark as test runs do, and end it."""
        await self.warm_up(worker, log)
        await self._sparks[worker].stop()

    async def begin_cluster(self, request: ClusterRequest) -> ClusterSpark:
        """Take over that there is a cluster, and return its Spark as its container has it.

        What the image has, a worker's Spark has found out by now; else the first cluster's own container tells.
        """
        image = await self._image_there()
        self._clusters.begin(request)
        if not self._found:
            of_sparks = (spark.found for spark in self._sparks.values() if spark.found)
            self._found = next(of_sparks, {}) or await self._clusters.look(request.cluster)
        options = self._options
        return in_container(
            request,
            image,
            self._found,
            self._urls,
            is_open=options.is_open,
            class_data=options.class_data,
        )

    async def prepare_cluster(self, cluster: str) -> None:
        """Begin to start a cluster's container."""
        self._clusters.prepare(cluster)

    async def session_port(self, cluster: str, port: int) -> int | None:
        """Return the port of 127.0.0.1 that leads to one of a cluster's container."""
        return await self._clusters.published(cluster, port)

    async def start_ahead(self, request: CommandRequest) -> None:
        """Start nothing: a container's commands are started when they are wanted."""

    async def end_ahead(self, cluster: str, name: str) -> None:
        """End nothing: none is started."""

    async def run_command(self, request: CommandRequest) -> int:
        """Run a command of a cluster in its container, and return its exit code, negative for a signal."""
        return await self._clusters.run(request)

    async def signal_command(self, cluster: str, name: str, number: int) -> bool:
        """Send a signal to a running command of a cluster; tell whether there is one."""
        return await self._clusters.signal(cluster, name, number)

    async def end_command(self, cluster: str, name: str) -> bool:
        """End a running command of a cluster with all that descends from it; tell whether there is one."""
        return await self._clusters.end(cluster, name)

    async def end_cluster(self, cluster: str) -> list[str]:
        """Remove a cluster's container, and return what could not be removed."""
        return await self._clusters.end_cluster(cluster)

    async def close(self) -> list[str]:
        """Remove every container and the network, and return what could not be removed."""
        self._is_closed = True
        workers = {*self._sparks, *self._ending}
        results = await asyncio.gather(
            self._clusters.close(), *(self.end_worker(worker) for worker in workers)
        )
        problems = [problem for found in results for problem in found]
        if self._network is not None:
            try:
                await asyncio.to_thread(self._network.remove)
            except (errors.IsolatedEmrError, PermissionError) as error:
                problems.append(f"network: {error}")
        if self._engine is not None:
            self._engine.close()
        return problems

    def _make_container(self, role: str, workers: int) -> Container:
        engine, network = self._connected()
        context = self._context
        settings = self._container_settings(engine, workers)
        return Container(engine, network, context.journal, context.run_id, role, settings)

    def _mounts_of_cluster(self, request: ClusterRequest) -> Mounts:
        """Return what a cluster's container sees: what the tests' Spark sees, and the cluster's directory."""
        assert self._image is not None
        files, session = request.files, self._context.directory
        packages = () if self._image.spark_home else (*files.packages, Path(request.spark.home))
        directory = directory_of(session, request.cluster)
        # It may be started before anything is in it.
        directory.mkdir(mode=0o700, exist_ok=True)
        return Mounts(
            read_only=(*files.read_only, *packages, self._options.class_data),
            writable=(*files.writable, directory),
            elsewhere=program_libraries(),
        )

    def _connected(self) -> tuple[Engine, SessionNetwork]:
        assert self._engine is not None
        assert self._network is not None
        return self._engine, self._network

    async def _image_there(self) -> Image:
        self._image = await self._images.image(self._connected()[0])
        return self._image

    def _container_settings(self, engine: Engine, workers: int) -> ContainerSettings:
        return ContainerSettings(
            image=self._options.image,
            memory=self._options.memory_on(engine, workers),
            cpus=self._options.cpus_on(engine, workers),
            python=self._options.python,
            accounts=self._accounts(engine),
        )

    def _accounts(self, engine: Engine) -> dict[str, Path]:
        """Return files that give a container's user a name and a group: without them Hadoop's login fails."""
        uid, gid = engine.user.split(":")
        contents = {
            "/etc/passwd": f"root:x:0:0:root:/root:/bin/sh\nhadoop:x:{uid}:{gid}:hadoop:/tmp:/bin/sh\n",
            "/etc/group": f"root:x:0:\nhadoop:x:{gid}:\n",
        }
        files = {place: self._context.directory / Path(place).name for place in contents}
        for place, file in files.items():
            if not file.exists():
                write_private(file, contents[place].encode())
        return files
