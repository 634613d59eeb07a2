"""Clients of S3 that cost little: each is a process with one connection, and sends requests that are signed beforehand.

Both servers get the same bytes. A client of boto3's would take more of the machine than the server that it measures.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

REGION = "eu-west-1"
_PIECE = 1 << 16


@dataclass(frozen=True)
class Server:
    """A server of S3 and the key that its clients sign with.

    :param port: of 127.0.0.1.
    :param access_key_id: the key.
    """

    port: int
    access_key_id: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        """Return a client of boto3's."""
        config = Config(retries={"total_max_attempts": 1}, read_timeout=300)
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key="any",
            config=config,
        )


@dataclass(frozen=True)
class Request:
    """A request to S3.

    :param method: its method.
    :param path: its path and query.
    :param headers: its headers, but for Host and those of the signature.
    :param body: its body.
    """

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def signed(self, server: Server) -> bytes:
        """Return the request as it is sent to a server."""
        request = AWSRequest(self.method, server.url + self.path, dict(self.headers), self.body)
        S3SigV4Auth(Credentials(server.access_key_id, "any"), "s3", REGION).add_auth(request)
        headers = {"Host": f"127.0.0.1:{server.port}", **dict(request.headers.items())}
        if self.body or self.method in ("PUT", "POST"):
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Wire:
    """A kept connection that sends bytes and reads answers, and opens itself anew when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes, head: bool = False) -> tuple[int, bytes]:
        """Send a request and return the answer's status and body."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=300)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        received = self._socket.recv(_PIECE)
        while b"\r\n\r\n" not in received:
            if not (piece := self._socket.recv(_PIECE)):
                raise ConnectionError(f"no answer to {request[:80]!r}, after {received!r}")
            received += piece
        top, _, start = received.partition(b"\r\n\r\n")
        status, headers = int(top[9:12]), top.lower()
        if head or status == 204:
            length = 0
        elif b"\r\ncontent-length:" in headers:
            length = int(headers.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        else:
            raise ValueError(f"an answer without its length: {top!r}")
        body = bytearray(length)
        body[: len(start)] = start
        view, at = memoryview(body), len(start)
        while at < length:
            count = self._socket.recv_into(view[at:])
            if not count:
                raise ConnectionError(f"an answer that ends after {at} of {length} bytes")
            at += count
        if b"\r\nconnection: close" in headers:
            self._socket.close()
            self._socket = None
        return status, bytes(body)


@dataclass(frozen=True)
class Load:
    """What one client does until the time is over.

    :param server: whom it asks.
    :param number: the client's.
    :param seconds: for how long it begins anew.
    """

    server: Server
    number: int
    seconds: float


@dataclass(frozen=True)
class Share:
    """What one client did.

    :param count: how often it did its act.
    :param size: the bytes of objects that it moved.
    :param seconds: how long that took it.
    """

    count: int
    size: int
    seconds: float


#: Makes a client's act; each call of the act does it once and returns the bytes of objects that it moved.
Act = Callable[[Load], Callable[[], int]]


class Clients:
    """Client processes that stay for all measurements."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends: list[Connection] = []
        self._stack = ExitStack()
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._ends.append(ours)
            self._stack.callback(process.join)
            self._stack.callback(ours.close)

    def __enter__(self) -> Clients:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self._ends:
            end.close()
        self._stack.close()

    def run(self, act: Act, server: Server, seconds: float) -> Share:
        """Have all of them do an act again and again; return the sum of it.

        :param act: a function at the top of a module.
        :param server: whom they ask.
        :param seconds: for how long they begin anew.
        """
        for number, end in enumerate(self._ends):
            end.send((act, Load(server, number, seconds)))
        for end in self._ends:
            _answer(end)
        for end in self._ends:
            end.send("go")
        shares: Sequence[Share] = [_answer(end) for end in self._ends]
        return Share(
            sum(share.count for share in shares),
            sum(share.size for share in shares),
            max(share.seconds for share in shares),
        )


def _answer(end: Connection) -> Any:
    answer = end.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _serve(end: Connection) -> None:
    while True:
        try:
            act, load = end.recv()
        except EOFError:
            return
        try:
            once = act(load)
            # Its connection is open, and what the server makes at first is there.
            once()
            end.send("ready")
            end.recv()
            started = time.perf_counter()
            count = size = 0
            while not count or time.perf_counter() - started < load.seconds:
                size += once()
                count += 1
            end.send(Share(count, size, time.perf_counter() - started))
        except (OSError, ValueError, AssertionError) as error:
            end.send(error)
