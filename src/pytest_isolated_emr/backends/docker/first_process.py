"""The keeper's side of a container's first process: questions and answers over its standard input and output."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

# What it says is a line of JSON; half of a long one may be on its way.
_MAX_LINE = 1 << 24
_STDERR = 2
_LAST_WORDS = 2000
#: How long an answer may take that is given at once, in seconds: a container may have been paused.
_PATIENCE = 30.0


class FirstProcess:
    """A conversation with ``supervisor.py`` in a container.

    :param connection: attached to the container's standard streams.
    :param on_end: is awaited when the container has ended, with what its first process wrote to standard error last.
    """

    def __init__(self, connection: socket.socket, on_end: Callable[[str], Awaitable[None]]) -> None:
        self._connection = connection
        self._on_end = on_end
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_words = b""

    async def begin(self) -> None:
        """Begin to listen."""
        reader, self._writer = await asyncio.open_connection(sock=self._connection, limit=_MAX_LINE)
        self._reading = asyncio.create_task(self._read(reader))

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask for something that is answered at once.

        :param op: the operation, see :class:`~pytest_isolated_emr.backends.docker.supervisor.Supervisor`.
        :param fields: its arguments, as JSON has them.
        :raises ConnectionError: the container has ended, or does not answer.
        """
        try:
            return await asyncio.wait_for(self.wait_for(op, **fields), _PATIENCE)
        except asyncio.TimeoutError:
            raise ConnectionError(f"it does not answer within {_PATIENCE:g} s") from None

    async def wait_for(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask for something and wait for its end, however long that takes.

        :param op: the operation.
        :param fields: its arguments, as JSON has them.
        :raises ConnectionError: the container has ended.
        """
        if self._writer is None or self._writer.is_closing():
            raise ConnectionError("it has ended")
        number = next(self._ids)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._writer.write(json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        try:
            reply: dict[str, Any] = await answer
        finally:
            self._waiting.pop(number, None)
        return reply

    def close(self) -> None:
        """Let go of the container, which ends it."""
        if self._reading is not None:
            self._reading.cancel()
        self._end()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        received = b""
        try:
            while True:
                # Docker's framing: which stream, three zeros, the length
                # (https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach).
                stream, length = struct.unpack(">BxxxI", await reader.readexactly(8))
                payload = await reader.readexactly(length)
                if stream == _STDERR:
                    self._last_words = (self._last_words + payload)[-_LAST_WORDS:]
                    continue
                *lines, received = (received + payload).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
        except (asyncio.IncompleteReadError, OSError):
            words = self._last_words.decode(errors="replace").strip()
        except (ValueError, KeyError, TypeError) as error:
            words = f"it said what is no answer: {error}"
        await self._on_end(words)
        self._end()

    def _take(self, message: dict[str, Any]) -> None:
        waiting = self._waiting.get(message["id"])
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("it has ended"))
