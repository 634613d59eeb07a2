"""One worker's Spark in a container of its own: a Spark Connect server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.aws.environment import without_profiles
from pytest_isolated_emr.backends.base import SparkRequest
from pytest_isolated_emr.backends.docker.class_data import ContainerClassData
from pytest_isolated_emr.backends.docker.container import PACKAGE_ROOT, Container, Mounts
from pytest_isolated_emr.backends.docker.images import Image
from pytest_isolated_emr.backends.docker.visible_environment import replaced, visible_environment
from pytest_isolated_emr.keeper import children
from pytest_isolated_emr.lifecycle.journal import Journal
from pytest_isolated_emr.lifecycle.private_files import write_private
from pytest_isolated_emr.spark import connect, properties
from pytest_isolated_emr.spark.connect import tokens

_NAME = "spark"
#: Where Python workers find our ``sitecustomize``.
_WORKER_PATH = f"{PACKAGE_ROOT}/pytest_isolated_emr/backends/docker/worker_path"
_DAEMON_PATH = f"{PACKAGE_ROOT}/pytest_isolated_emr/spark/worker_path"
_SERVER = "pytest_isolated_emr.spark.connect_server"
# How often to look whether the server has written that it listens; nothing announces it.
_POLL_SECONDS = 0.01
# Of busy cores, beside other containers: what a process with the lowest priority has, and the engine's default.
_FEW_SHARES, _USUAL_SHARES = 16, 1024
# The token goes with the session, which is over long before that.
_TOKEN_SECONDS = 10 * 365 * 24 * 3600


@dataclass(frozen=True)
class Place:
    """Where a worker's Spark has its files.

    :param directory: of its own.
    :param log: takes what it prints.
    :param class_data: the directory with archives of classes for containers.
    """

    directory: Path
    log: Path
    class_data: Path


class SparkContainer:
    """A Connect server, from its start on.

    :param container: where it runs, not started.
    :param image: what that is made of.
    :param place: its files.
    :param request: what it is started with.
    :param urls: URLs of this machine, and those by which containers reach the same.
    :param client: the versions of Python and Spark that the client has, such as ``3.11`` and ``4.3.0``.
    """

    def __init__(
        self,
        container: Container,
        image: Image,
        place: Place,
        request: SparkRequest,
        urls: dict[str, str],
        client: tuple[str, str],
    ) -> None:
        self._container = container
        self._image = image
        self._place = place
        self._request = request
        self._urls = urls
        self._client_python, self._client_spark = client
        self._server: asyncio.Task[int] | None = None
        self._exit = ""
        self._kills = 0
        self._takes_environment = False
        #: The archive of classes for it, once the image is known.
        self.class_data: ContainerClassData | None = None
        #: What the image has, once that is known.
        self.found: dict[str, Any] = {}
        self._fits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gateway = asyncio.create_task(self._launch())
        # Nobody may ever ask for it; then its failure is nobody's either.
        self.gateway.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def status(self) -> dict[str, Any]:
        """Return ``alive``, and where not, ``exit`` in words; ``log`` is what it prints; ``note`` is what a failed test
        should say of it although it lives."""
        _link_new(self._place.directory / "cwd", self._request.cwd)
        alive = self._server is not None and not self._server.done()
        note = ""
        if alive:
            kills = await self._container.kills_for_memory()
            note = self._container.killed_for_memory if kills > self._kills else ""
            self._kills = kills
        return {"alive": alive, "exit": self._exit, "log": str(self._place.log), "note": note}

    async def check(self) -> None:
        """Wait until the image is known to fit.

        :raises IsolatedEmrError: it does not, or there can be no container.
        """
        either: list[asyncio.Future[Any]] = [self._fits, self.gateway]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._fits.done():
            await self.gateway

    async def warm_up(self, python: str, environ: dict[str, str], journal: Journal, log: Path) -> None:
        """Wait until it answers, and run a job in it, unless somebody hears of that: the user's listeners, a log.

        :param python: the interpreter of the job.
        :param environ: the environment of the job, without the session's AWS.
        :param journal: the session's.
        :param log: takes what the job prints.
        :raises SparkNotStarted: the job failed.
        """
        await self.check()
        await self._container.share_cpus(_FEW_SHARES)
        where = await self.gateway
        settings = self._request.properties
        if settings.get("spark.eventLog.enabled") == "true" or any(map(settings.get, properties.LISTENERS)):
            return
        directory = self._place.directory / "tmp"
        job = await children.start(
            "warm-up",
            [python, "-m", "pytest_isolated_emr.spark.connect.warm_up", where["url"], str(directory)],
            journal=journal,
            environ={**without_profiles(self._request.environ), **environ},
            cwd=directory,
            log=log,
        )
        try:
            returncode = await asyncio.wait_for(job.wait(), self._request.timeout)
        except asyncio.TimeoutError:
            await job.end()
            raise self._not_started(f"did not do a first job within {self._request.timeout:g} s") from None
        if returncode != 0:
            how = children.describe_exit(returncode)
            raise self._not_started(f"failed at a first job, which ended with {how}: {children.tail(log)}")

    async def answers(self) -> bool:
        """Tell whether it answers, and is what its image is now."""
        if not await self._container.is_of_image():
            return False
        # To ask for the memory is to ask its first process.
        self._kills = await self._container.kills_for_memory()
        port = await self._container.published(connect.CONTAINER_PORT)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            # A server of HTTP/2 speaks first. The engine's proxy takes connections for one that is stopped.
            return bool(await reader.read(1))
        finally:
            writer.close()

    async def hand_over(self, request: SparkRequest) -> None:
        """Take it for what a client asks for, which has the whole environment.

        :param request: fits the one that it was started with.
        """
        self._request = request
        self._takes_environment = True
        _link_new(self._place.directory / "cwd", request.cwd)
        os.truncate(self._place.log, 0)
        await self._container.share_cpus(_USUAL_SHARES)

    async def stop(self) -> None:
        """End the server as one is ended that is not needed any more: it does what it does at its exit."""
        assert self._server is not None
        await self._container.signal(_NAME, signal.SIGTERM)
        await asyncio.wait_for(asyncio.shield(self._server), self._request.timeout)

    def environment(self) -> dict[str, str] | None:
        """Return what its environment has to become, if it was started without all of it."""
        return self._environ() if self._takes_environment else None

    async def end(self) -> list[str]:
        """Remove the container, and return what could not be removed."""
        self.gateway.cancel()
        if self._server is not None:
            self._server.cancel()
        await asyncio.wait([self.gateway])
        return await self._container.remove()

    async def _launch(self) -> dict[str, Any]:
        directory = self._place.directory
        self._place.log.touch(mode=0o600)
        # The gate takes the name of its directory for the session's id.
        key, session_id = tokens.new_key(), directory.name
        write_private(directory / "key", key)
        files = self._request.files
        # An image with a Spark of its own is taken as a whole.
        packages = () if self._image.spark_home else files.packages
        installed_spark = () if self._image.spark_home else (self._request.spark_home,)
        _link_new(directory / "cwd", self._request.cwd)
        mounts = Mounts(
            read_only=(*files.read_only, *packages, *installed_spark, self._place.class_data),
            writable=(*files.writable, directory, self._place.log),
        )
        await self._container.start(mounts, [connect.CONTAINER_PORT])
        found = await self._container.look()
        self._check(found)
        self.found = found
        self._fits.set_result(None)
        server = {
            "spark_home": self._image.spark_home or str(self._request.spark_home),
            "settings": self._settings(found),
        }
        write_private(directory / "server.json", json.dumps(server).encode())
        run = f"import sys; sys.path.insert(0, {PACKAGE_ROOT!r}); from {_SERVER} import main; main()"
        command = [found["python_executable"], "-I", "-c", run, str(directory)]
        self._server = asyncio.create_task(self._serve(command, self._environ()))
        timeout = self._request.timeout
        try:
            await asyncio.wait_for(self._wait_for(directory / "port"), timeout)
        except asyncio.TimeoutError:
            raise self._not_started(f"did not answer within {timeout:g} s") from None
        port = await self._container.published(connect.CONTAINER_PORT)
        token = tokens.new_token(key, time.time() + _TOKEN_SECONDS)
        return {
            "url": f"sc://127.0.0.1:{port}/;x-aws-proxy-auth={token};authorization={session_id}",
            "log": str(self._place.log),
            "directory": str(directory),
        }

    def _environ(self) -> dict[str, str]:
        """Return the variables of the server, over those of the image."""
        directory, files = self._place.directory, self._request.files
        packages = () if self._image.spark_home else files.packages
        python = self.found["python_executable"]
        python_path = (_WORKER_PATH, *files.python_path, *packages, _DAEMON_PATH)
        return visible_environment(self._request.environ, self._urls) | {
            connect.DIRECTORY_VARIABLE: str(directory),
            connect.PEERS_VARIABLE: "any",
            "HOME": str(directory),
            "PYTHONPATH": ":".join(map(str, python_path)),
            connect.PYTHON_PATH_VARIABLE: str(directory / connect.PYTHON_PATH_NAME),
            "PYSPARK_PYTHON": python,
            "PYSPARK_DRIVER_PYTHON": python,
            "SPARK_LOCAL_DIRS": str(directory / "local"),
            "TMPDIR": str(directory / "tmp"),
        }

    async def _serve(self, command: list[str], environ: dict[str, str]) -> int:
        """Run the server to its end, and note how that came."""
        try:
            cwd, log = self._place.directory / "cwd", self._place.log
            code = await self._container.run(_NAME, command, environ=environ, cwd=cwd, stdout=log, stderr=log)
        except errors.ContainerEnded:
            self._exit = self._container.end_reason
            return -1
        except OSError as error:
            self._exit = f"it could not be started: {error.strerror}"
            return -1
        if await self._container.kills_for_memory() > self._kills:
            self._exit = self._container.killed_for_memory
        else:
            self._exit = children.describe_exit(code)
        return code

    def _settings(self, found: dict[str, Any]) -> dict[str, str]:
        settings = replaced(self._request.properties, self._urls)
        if found["hadoop_aws"]:
            # The image has an S3A of its own, for its own Hadoop; of ours only the redirect goes with that.
            settings = connect.without_s3_jars(settings)
        self.class_data = ContainerClassData(
            self._place.class_data, self._image, self._request.spark_home, settings
        )
        return properties.with_java_options(settings, self.class_data.options(settings))

    def _check(self, found: dict[str, Any]) -> None:
        """See that the image fits the client."""
        python = ".".join(map(str, found["python"]))
        if python != self._client_python:
            raise errors.ImageUnfit(
                f"The image has Python {python}, and pytest runs with {self._client_python}.",
                checked=f"python{self._client_python} and python3 in {self._image.name}; functions that are sent to Spark "
                "need the same minor version on both sides",
                cure="Run pytest with the image's Python, or choose an image by --isolated-emr-image "
                "(`isolated-emr image build` makes one).",
            )
        if not found["java"]:
            raise errors.ImageUnfit(
                "The image has no Java.",
                checked=f"JAVA_HOME and PATH in {self._image.name}",
                cure="Use an image with Java 17 or newer.",
            )
        if self._image.spark_home and not found["spark"]:
            raise errors.ImageUnfit(
                "The image names a Spark that is not there.",
                checked=f"SPARK_HOME is {self._image.spark_home} in {self._image.name}, with no Spark in its jars",
                cure="Use an image with Spark, or one that does not set SPARK_HOME: then the installed Spark is used.",
            )
        theirs, ours = (version.split(".")[:2] for version in (found["spark"], self._client_spark))
        if found["spark"] and theirs != ours:
            raise errors.ImageUnfit(
                f"The image has Spark {found['spark']}, and pyspark {self._client_spark} is installed here.",
                checked=f"the jars of {self._image.spark_home} in {self._image.name}",
                cure=f"pip install 'pyspark=={'.'.join(theirs)}.*', or choose another image by --isolated-emr-image.",
            )

    async def _wait_for(self, port_file: Path) -> None:
        assert self._server is not None
        while not port_file.exists():
            if self._server.done():
                raise self._not_started(f"ended at its start: {self._exit}")
            await asyncio.sleep(_POLL_SECONDS)

    def _not_started(self, how: str) -> errors.SparkNotStarted:
        log = self._place.log
        return errors.SparkNotStarted(
            f"The Spark Connect server {how}.",
            checked=f"its container; its log {log} ends with:\n{children.tail(log)}",
            cure="Mend what the log names: a setting of the suite, memory (--isolated-emr-docker-memory), or the image.",
        )


def _link_new(directory: Path, like: Path) -> None:
    """Have a directory with links to all that another has: what jobs read by a relative path is there, and what they write,
    as Spark 3.5 does itself with artifacts, does not reach the project.

    :param directory: the directory, which is made.
    :param like: where the client is.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    there = {path.name for path in directory.iterdir()}
    for path in like.iterdir():
        if path.name not in there:
            (directory / path.name).symlink_to(path)
