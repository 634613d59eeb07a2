"""The keeper's side of the private endpoint: its port, its start, its end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.aws.credentials import SessionCredentials
from pytest_isolated_emr.keeper import children
from pytest_isolated_emr.keeper.children import Child
from pytest_isolated_emr.lifecycle.journal import Journal

#: glibc's (mallopt(3)): what a large body took goes back to the system with it. By itself glibc comes to keep up to 32 MB a
#: thread for the next one. Other systems do not know it.
MEMORY_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}

# A million objects take less. A process that is stopped must not keep pytest for ever.
_EMPTY_SECONDS = 60.0


class EndpointProcess:
    """The process that serves AWS's APIs on a port of 127.0.0.1 that the kernel picked.

    The port takes connections from the first moment, since it is the keeper that binds it; they wait in the
    kernel's queue until the process is ready.

    :param credentials: the only ones it accepts.
    :param log: takes what it prints.
    :param address: another address of this machine to listen on, for those that do not reach 127.0.0.1.
    :raises OSError: there is no such address.
    """

    def __init__(self, credentials: SessionCredentials, log: Path, address: str | None = None) -> None:
        self._credentials = credentials
        self._log = log
        hosts = ["127.0.0.1", *([address] if address else [])]
        self._listeners = [socket.create_server((host, 0), backlog=512) for host in hosts]
        self._urls = ["http://{}:{}".format(*listener.getsockname()) for listener in self._listeners]
        self._child: Child | None = None
        self._ready: asyncio.Task[None] | None = None
        # Each line is answered by one, and workers ask at once.
        self._asking = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where it is, e.g. ``http://127.0.0.1:40123``."""
        return self._urls[0]

    @property
    def url_by_address(self) -> str | None:
        """Where it is for those that do not reach 127.0.0.1."""
        return self._urls[1] if len(self._urls) > 1 else None

    async def start(
        self,
        *,
        journal: Journal,
        session_directory: Path,
        buckets: Sequence[dict[str, Any]],
        variables: dict[str, str],
    ) -> None:
        """Start the process; :meth:`ready` waits for it.

        :param journal: the session's.
        :param session_directory: the session's; large objects are in its directory ``endpoint``.
        :param buckets: made and filled before the first request is answered: ``name`` and ``directory`` of each.
        :param variables: mark the process as the session's.
        """
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))
        }
        temporary = session_directory / "endpoint"
        environ |= variables | MEMORY_SETTINGS | {"TMPDIR": str(temporary)}
        descriptors = [listener.fileno() for listener in self._listeners]
        self._child = await children.start(
            "endpoint",
            [sys.executable, "-m", "pytest_isolated_emr.aws.endpoint", "--fds", *map(str, descriptors)],
            journal=journal,
            environ=environ,
            cwd=temporary,
            log=self._log,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
        )
        # From now on the port is the child's alone: should it die, clients are refused at once and wait for nothing.
        self._close_listeners()
        opening = {
            "access_key_id": self._credentials.access_key_id,
            "secret_access_key": self._credentials.secret_access_key,
            "region": self._credentials.region,
            "buckets": list(buckets),
            "session_directory": str(session_directory),
        }
        assert self._child.process.stdin is not None
        self._child.process.stdin.write(json.dumps(opening).encode() + b"\n")
        self._ready = asyncio.create_task(self._read_answer(self._child, "start"))

    async def ready(self) -> None:
        """Wait until requests are answered.

        :raises EndpointDied: it ended instead, then or later.
        """
        assert self._child is not None
        assert self._ready is not None
        await asyncio.shield(self._ready)
        if self._child.process.returncode is not None:
            raise self._died("The private AWS endpoint has ended.")

    async def answers(self) -> bool:
        """Tell whether it answers now; one that is stopped does not."""
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            # Without a key it is refused at once.
            writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return (await reader.readline()).startswith(b"HTTP/")
        finally:
            writer.close()

    async def make_buckets(self, buckets: Sequence[dict[str, Any]]) -> None:
        """Make more buckets.

        :param buckets: ``name`` and ``directory`` of each.
        :raises EndpointDied: it could not.
        """
        await self._ask({"buckets": list(buckets)}, "make buckets")

    async def empty_prefix(self, bucket: str, prefix: str) -> None:
        """Delete what is below a prefix of a bucket, with all its versions.

        :param bucket: the bucket's name.
        :param prefix: what the keys begin with.
        :raises EndpointDied: it could not.
        """
        asking = asyncio.ensure_future(
            self._ask({"emptied": {"bucket": bucket, "prefix": prefix}}, "empty a scratch")
        )
        try:
            # It goes on, so that its answer is not taken for the next one's.
            await asyncio.wait_for(asyncio.shield(asking), _EMPTY_SECONDS)
        except asyncio.TimeoutError:
            raise self._died(
                f"The private AWS endpoint did not empty a scratch within {_EMPTY_SECONDS:g} s."
            ) from None

    async def end(self) -> list[str]:
        """End it and free its port.

        :returns: what could not be ended.
        """
        self._close_listeners()
        if self._ready is not None:
            self._ready.cancel()
        return [] if self._child is None else await self._child.end()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    async def _ask(self, message: dict[str, Any], what: str) -> None:
        await self.ready()
        assert self._child is not None
        assert self._child.process.stdin is not None
        async with self._asking:
            self._child.process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._read_answer(self._child, what)

    async def _read_answer(self, child: Child, what: str) -> None:
        assert child.process.stdout is not None
        line = await child.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it ended without a word"}
        if "error" in answer:
            raise self._died(f"The private AWS endpoint could not {what}: {answer['error']}.")

    def _died(self, what: str) -> errors.EndpointDied:
        return errors.EndpointDied(
            what,
            checked=f"its process; its log {self._log} ends with:\n{children.tail(self._log)}",
            cure="Run again; if it recurs, look at memory and disk with `isolated-emr doctor`.",
        )
