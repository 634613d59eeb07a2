"""One container of a session: made with the session's limits, talked to through its first process, and removed.

The connection to its standard input is its lifeline: when the keeper ends, however it ends, the container's first
process (``supervisor.py``) reads the end of it and exits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.docker import supervisor
from pytest_isolated_emr.backends.docker.engine import Engine, engine_errors
from pytest_isolated_emr.backends.docker.first_process import FirstProcess
from pytest_isolated_emr.backends.docker.names import is_of, labels_of, name_of
from pytest_isolated_emr.backends.docker.network import SessionNetwork
from pytest_isolated_emr.lifecycle.journal import Journal

KIND = "container"
#: Where this package is in a container.
PACKAGE_ROOT = "/opt/isolated-emr"
_PACKAGE = Path(__file__).parents[2]
_SUPERVISOR = f"{PACKAGE_ROOT}/{_PACKAGE.name}/{Path(supervisor.__file__).relative_to(_PACKAGE)}"
#: The exit code of the shell below, for an image without Python.
_NO_PYTHON = 97
#: The exit code of what was killed, as a shell has it.
_KILLED = 128 + signal.SIGKILL
# More than any Spark has threads; it keeps a mistake from taking all of the machine's.
_MOST_PROCESSES = 8192
_REMOVED = "the container was removed by somebody"
# How long the removal of a killed container may take until it counts as killed by something else.
_REMOVAL_SECONDS = 1.0


@dataclass(frozen=True)
class ContainerSettings:
    """What all containers of a session have in common.

    :param image: the image's name.
    :param memory: the most that one may take, in bytes.
    :param cpus: how many cores one may use.
    :param python: the minor version that is wanted of its Python, such as ``3.11``.
    :param accounts: files that take the place of ``/etc/passwd`` and the like, by their paths in a container.
    """

    image: str
    memory: int
    cpus: float
    python: str
    accounts: Mapping[str, Path]


@dataclass(frozen=True)
class Mounts:
    """Directories and files of this machine that a container sees, each by the same path as here.

    :param read_only: those that it can read.
    :param writable: those that it can write too.
    :param elsewhere: those that it can read by another path, and that path.
    """

    read_only: Sequence[Path] = field(default=())
    writable: Sequence[Path] = field(default=())
    elsewhere: Mapping[Path, str] = field(default_factory=dict)

    def for_engine(self) -> list[Any]:
        """Return them as the engine takes them, without what does not exist."""
        read_only = {**{path: str(path) for path in self.read_only}, **self.elsewhere}
        found = [_bind(path, there, read_only=True) for path, there in read_only.items() if path.exists()]
        return [*found, *(_bind(path, str(path), read_only=False) for path in self.writable if path.exists())]


def _bind(source: Path, target: str, *, read_only: bool) -> Any:
    from docker.types import Mount

    return Mount(target, str(source), type="bind", read_only=read_only)


class Container:
    """A container, from before it exists until it is gone.

    :param engine: where it runs.
    :param network: the session's.
    :param journal: the session's.
    :param run_id: the session's.
    :param role: what it is for, such as ``spark-main-1``.
    :param settings: the session's.
    """

    def __init__(
        self,
        engine: Engine,
        network: SessionNetwork,
        journal: Journal,
        run_id: str,
        role: str,
        settings: ContainerSettings,
    ) -> None:
        self._engine = engine
        self._network = network
        self._journal = journal
        self._run_id = run_id
        self._role = role
        self._name = name_of(run_id, role)
        self._settings = settings
        self._making: asyncio.Task[None] | None = None
        self._entry: int | None = None
        self._container: Any = None
        self._process: FirstProcess | None = None
        self._exit_code = 0
        #: How it ended, in words; empty while it runs.
        self.end_reason = ""

    async def start(self, mounts: Mounts, ports: Sequence[int] = ()) -> None:
        """Make it and start it, and return when its first process can be asked.

        :param mounts: what it sees of this machine.
        :param ports: those of its own to publish on 127.0.0.1.
        :raises IsolatedEmrError: it cannot be made, or has no fitting Python.
        """
        self._making = asyncio.create_task(self._make(mounts, ports))
        # Whoever waits may be cancelled. The engine goes on making it all the same, and its removal waits for that.
        await asyncio.shield(self._making)
        connection = await asyncio.to_thread(self._attach)
        process = FirstProcess(connection, self._has_ended)
        await process.begin()
        self._process = process

    async def look(self) -> dict[str, Any]:
        """Return what the image has; see :func:`pytest_isolated_emr.backends.docker.supervisor.look`.

        :raises ImageUnfit: it has no Python.
        :raises ContainerEnded: it has ended.
        """
        try:
            return await self._ask("look")
        except errors.ContainerEnded:
            if self._exit_code == _NO_PYTHON:
                raise errors.ImageUnfit(
                    f"The image {self._settings.image} has no Python.",
                    checked=f"python{self._settings.python} and python3 on its PATH",
                    cure="Use an image with Spark and Python, such as apache/spark's with python3 in their tags, or "
                    "make one: isolated-emr image build",
                ) from None
            raise

    async def published(self, port: int) -> int:
        """Return the port of 127.0.0.1 at which a published one is.

        :param port: the container's own.
        """
        with self._missing_is_ended(), engine_errors("asking for a published port"):
            found = await asyncio.to_thread(self._engine.api.port, self._container.id, port)
        if not found:
            raise errors.EngineFailed(
                "The engine did not publish a container's port.",
                checked=f"port {port} of {self._name}",
                cure="Look at the engine's log, and whether something keeps it from opening ports on 127.0.0.1.",
            )
        return int(found[0]["HostPort"])

    async def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        cwd: Path,
        stdout: Path,
        stderr: Path,
    ) -> int:
        """Run a command in it to its end, and return its exit code, negative for a signal.

        :param name: tells it from others, for :meth:`signal` and :meth:`end`.
        :param command: the program and its arguments.
        :param environ: variables besides the image's own, over which they win.
        :param cwd: its working directory.
        :param stdout: a file that takes its output; the container sees it by the same path.
        :param stderr: a file that takes its error output.
        :raises OSError: it cannot be started.
        :raises ContainerEnded: the container ended first.
        """
        fields = {"name": name, "command": list(command), "environ": dict(environ), "cwd": str(cwd)}
        process = self._running_process()
        try:
            reply = await process.wait_for("run", **fields, stdout=str(stdout), stderr=str(stderr))
        except ConnectionError as error:
            raise self._ended(error) from None
        if "not_started" in reply:
            raise OSError(*reply["not_started"])
        return int(reply["returncode"])

    async def signal(self, name: str, number: int) -> bool:
        """Send a signal to a running command; tell whether there is one."""
        return bool((await self._ask("signal", name=name, number=number))["sent"])

    async def end(self, name: str) -> bool:
        """End a running command with all that descends from it; tell whether there is one."""
        return bool((await self._ask("end", name=name))["ended"])

    async def remove(self) -> list[str]:
        """Remove it with all that runs in it, and return what could not be removed."""
        self.end_reason = self.end_reason or "it was removed"
        if self._process is not None:
            self._process.close()
        if self._making is None:
            return []
        await asyncio.wait([self._making])
        try:
            # By its name: it may be there although its making failed.
            was_there = await asyncio.to_thread(remove_container, self._engine, self._name, self._run_id)
        except (errors.IsolatedEmrError, PermissionError) as error:
            return [f"container {self._name}: {error}"]
        if not was_there and isinstance(self._making.exception(), errors.EngineSlow):
            return [f"container {self._name}: the engine may still be making it"]
        if self._entry is not None:
            self._journal.removed(self._entry)
        return []

    async def _make(self, mounts: Mounts, ports: Sequence[int]) -> None:
        self._entry = self._journal.intend(KIND, self._name, engine=self._engine.id)
        self._container = await asyncio.to_thread(self._create, mounts, ports)
        self._journal.created(self._entry, id=self._container.id)

    def _create(self, mounts: Mounts, ports: Sequence[int]) -> Any:
        """Make the container and start it."""
        settings = self._settings
        wanted = f"python{settings.python}"
        find_python = (
            f"for python in {wanted} python3; do "
            f'path=$(command -v "$python") && exec "$path" -I {_SUPERVISOR}; done; exit {_NO_PYTHON}'
        )
        with self._missing_is_ended(), engine_errors(f"making the container {self._name}"):
            container = self._engine.client.create(
                settings.image,
                name=self._name,
                entrypoint=["/bin/sh", "-c", find_python],
                labels=labels_of(self._run_id, self._role),
                network=self._network.network.name,
                ports={f"{port}/tcp": ("127.0.0.1", None) for port in ports},  # type: ignore[misc]
                user=self._engine.user,
                # The project may be readable for a group alone.
                group_add=os.getgroups(),
                stdin_open=True,
                # Its logs would be a second copy, on the engine's disk, of what the session has.
                log_config={"type": "none"},
                mem_limit=settings.memory,
                # No swap: what does not fit is killed here as it is on a full cluster.
                memswap_limit=settings.memory,
                nano_cpus=int(settings.cpus * 1e9),
                pids_limit=_MOST_PROCESSES,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                read_only=True,
                # Bootstrap actions run what they put there.
                tmpfs={"/tmp": "exec,mode=1777", "/run": "mode=755"},
                mounts=[*mounts.for_engine(), *self._own_mounts()],
            )
            self._engine.client.start(container)
            return container

    def _own_mounts(self) -> list[Any]:
        package = (_PACKAGE, f"{PACKAGE_ROOT}/{_PACKAGE.name}")
        accounts = ((file, place) for place, file in self._settings.accounts.items())
        return [_bind(source, target, read_only=True) for source, target in (package, *accounts)]

    def _attach(self) -> socket.socket:
        with self._missing_is_ended(), engine_errors("attaching to a container"):
            stream = self._engine.api.attach_socket(
                self._container.id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
            is_running = self._engine.api.inspect_container(self._container.id)["State"]["Running"]
        # Of the file that docker-py makes of it, the socket itself.
        connection: socket.socket = stream._sock
        if not is_running:
            # The engine would not end the stream of a container that had ended before.
            connection.shutdown(socket.SHUT_RDWR)
        return connection

    async def _ask(self, op: str, **fields: Any) -> dict[str, Any]:
        process = self._running_process()
        try:
            return await process.ask(op, **fields)
        except ConnectionError as error:
            raise self._ended(error) from None

    def _running_process(self) -> FirstProcess:
        if self._process is None or self.end_reason:
            raise self._ended()
        return self._process

    async def _has_ended(self, last_words: str) -> None:
        reason = await asyncio.to_thread(self._reason_of_end, last_words)
        self.end_reason = self.end_reason or reason

    @contextmanager
    def _missing_is_ended(self) -> Iterator[None]:
        from docker.errors import NotFound

        try:
            yield
        except NotFound:
            self.end_reason = self.end_reason or _REMOVED
            raise self._ended() from None

    def _reason_of_end(self, last_words: str) -> str:
        """Say in words how it ended; the engine knows."""
        from docker.errors import NotFound

        deadline = time.monotonic() + _REMOVAL_SECONDS
        try:
            with engine_errors("asking how a container ended"):
                # The stream ends a moment before the engine knows of the end.
                self._engine.api.wait(self._container.id, timeout=10)
                while True:
                    state = self._engine.api.inspect_container(self._container.id)["State"]
                    if state["ExitCode"] != _KILLED or time.monotonic() > deadline:
                        break
                    # Whoever removes a container kills it first.
                    time.sleep(0.05)
        except NotFound:
            return _REMOVED
        except errors.IsolatedEmrError as error:
            return f"the engine was stopped or restarted, or does not answer ({error.checked})"
        self._exit_code = state["ExitCode"]
        if self._exit_code == _KILLED and state.get("OOMKilled"):
            return self.killed_for_memory
        code = f"the container's first process ended with exit code {self._exit_code}"
        return f"{code}: {last_words}" if last_words else code

    @property
    def killed_for_memory(self) -> str:
        """Words for the end of what took more memory than it may."""
        return (
            f"killed for memory: the container may take {self._settings.memory / 2**20:.0f} MiB "
            "(--isolated-emr-docker-memory)"
        )

    async def share_cpus(self, shares: int) -> None:
        """Set how much of busy cores it gets beside other containers.

        :param shares: in relation to theirs; the engine's default is 1024.
        """
        with self._missing_is_ended(), engine_errors("changing a container's share of the cores"):
            await asyncio.to_thread(self._engine.api.update_container, self._container.id, cpu_shares=shares)

    async def is_of_image(self) -> bool:
        """Tell whether it was made of what its image's name stands for now."""
        with self._missing_is_ended(), engine_errors("asking for an image"):
            found = await asyncio.to_thread(self._engine.api.inspect_container, self._container.id)
            image = await asyncio.to_thread(self._engine.api.inspect_image, self._settings.image)
        return bool(found["Image"] == image["Id"])

    async def kills_for_memory(self) -> int:
        """Count what the kernel killed in it, as there was too little memory; what is gone counts as none."""
        try:
            return int((await self._ask("memory"))["kills"])
        except errors.ContainerEnded:
            return 0

    def _ended(self, error: ConnectionError | None = None) -> errors.ContainerEnded:
        return errors.ContainerEnded(
            f"A container of the session has ended: {self.end_reason or error or 'it was not started'}.",
            checked=f"the container {self._name}",
            cure="Give it more memory if it was killed for that; else see who removed it, and the engine's own log.",
        )


def remove_container(engine: Engine, which: str, run_id: str) -> bool:
    """Remove a container with its anonymous volumes, if it is there and a session's.

    :param engine: where it is.
    :param which: its id or name.
    :param run_id: the session's.
    :returns: whether it was there.
    :raises PermissionError: its labels do not say so.
    :raises IsolatedEmrError: the engine cannot.
    """
    from docker.errors import NotFound

    try:
        with engine_errors(f"removing the container {which}"):
            found = engine.api.inspect_container(which)
            if not is_of(run_id, found["Config"].get("Labels")):
                raise PermissionError(f"its labels do not say that it is of {run_id}")
            engine.api.remove_container(found["Id"], force=True, v=True)
    except NotFound:
        return False
    except errors.EngineFailed as error:
        # Two may remove it at once; what matters is that it goes.
        if "is already in progress" not in error.checked:
            raise
    return True
