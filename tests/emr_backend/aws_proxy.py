"""A proxy before an AWS endpoint, at which things go wrong by plan.

It passes each request on as it came, signature and all, and asks a plan what becomes of it. What it lets happen can be
looked up past it, at the endpoint itself.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from pytest_isolated_emr.aws import refusals
from tests.emr_backend.answers import Answer, Change
from tests.emr_backend.aws_calls import Call, recognise
from tests.emr_backend.faults import Fault, Plan, error_of

#: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1, and what is the connection's to AWS here: the body is sent as a whole.
_OF_CONNECTIONS = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)


@dataclass(frozen=True)
class Served:
    """What became of one attempt of a call.

    :param at: when, in seconds of the unix clock.
    :param call: which one.
    :param fault: what was done to it, if anything.
    :param status: of HTTP, that the service answered with; 0 where it was not asked.
    """

    at: float
    call: Call
    fault: Fault | None
    status: int


@dataclass
class AwsProxy:
    """A proxy, from ``with`` on to its end.

    :param upstream: the endpoint's address, as ``http://host:port``.
    :param plan: what goes wrong.
    :param changes: what becomes of answers that are passed on, one after the other.
    :param kill: kills who called.
    """

    upstream: str
    plan: Plan = field(default_factory=Plan)
    changes: Sequence[Change] = ()
    kill: Callable[[], None] = lambda: None
    served: list[Served] = field(default_factory=list)

    def __post_init__(self) -> None:
        proxy = self

        class Handler(_Handler):
            aws_proxy = proxy

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                # A client that was killed in the middle is one of the things that are tried.
                if not isinstance(sys.exc_info()[1], ConnectionError):
                    super().handle_error(request, client_address)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> AwsProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def calls(self, operation: str = "") -> list[Served]:
        """Return what was served so far.

        :param operation: of this one only.
        """
        return [served for served in list(self.served) if operation in ("", served.call.operation)]

    def heal(self) -> None:
        """Pass everything on from now on."""
        self.plan.heal()
        self.changes = ()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """Return the answer to a request; None if the connection is to end without."""
        call = recognise(method, target, headers, body)
        fault = self.plan.fault_of(call)
        answer = None
        if fault is None or fault.has_effect:
            answer = self._pass_on(method, target, headers, body)
            if answer.status < 300:
                self.plan.carried_out(call)
                for change in self.changes:
                    # Those that lose their answer, too: a change may note what was launched.
                    answer = change(call, answer)
        self.served.append(Served(time.time(), call, fault, answer.status if answer else 0))
        if fault is None:
            return answer
        if fault.kills:
            self.kill()
        return _refuse(fault, call, method, target, headers) if fault.has_answer else None

    def _pass_on(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        address = urlsplit(self.upstream)
        assert address.hostname is not None
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.casefold() not in _OF_CONNECTIONS | {"content-length"}:
                    connection.putheader(name, value)
            if body or method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            told = [
                (name, value)
                for name, value in response.getheaders()
                if name.casefold() not in _OF_CONNECTIONS
            ]
            return Answer(response.status, response.reason, told, response.read())
        finally:
            connection.close()


def _refuse(fault: Fault, call: Call, method: str, target: str, headers: dict[str, str]) -> Answer:
    """Word an error as the service does whose call it is."""
    given = {name.casefold(): value for name, value in headers.items()}
    parts = urlsplit(target)
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "HTTP_AUTHORIZATION": given.get("authorization", ""),
        "HTTP_X_AMZ_TARGET": given.get("x-amz-target", ""),
        "CONTENT_TYPE": given.get("content-type", ""),
    }
    heads: list[tuple[str, list[tuple[str, str]]]] = []
    body = b"".join(
        refusals.respond(environ, lambda status, told: heads.append((status, told)), error_of(fault, call))
    )
    ((status, told),) = heads
    code, _, reason = status.partition(" ")
    return Answer(int(code), reason, told, body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    aws_proxy: AwsProxy

    def _serve(self) -> None:
        answer = self.aws_proxy.answer(self.command, self.path, dict(self.headers.items()), self._body())
        if answer is None:
            self.close_connection = True
            return
        named = {name.casefold() for name, _ in answer.headers}
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if "content-length" not in named and answer.status not in (204, 304):
            lines.append(f"Content-Length: {len(answer.body)}")
        body = b"" if self.command == "HEAD" else answer.body
        # In one piece, or the rest of it waits for an acknowledgement of the first.
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").casefold() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue
        return b"".join(chunks)

    def log_message(self, *arguments: object) -> None:
        """Say nothing: what was served is in the proxy's list."""
