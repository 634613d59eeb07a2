"""The HTTP server of the endpoint: cheroot's, with a thread for each connection.

werkzeug's development server, which moto's own server is, closes each connection after one request. cheroot keeps connections.
Its pool of threads is left out: a request may wait for minutes (for the end of a step), any number of them at once, and no
other request may wait for that. Without the way through a pool a request also takes half of the processor time.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
from contextlib import closing
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest, KnownLengthRFile
from cheroot.wsgi import Gateway_10, Server
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)
from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import DechunkedInput

from .access import WsgiApp
from .object_bodies import ObjectBody


class HttpServer(Server):  # type: ignore[misc]
    """Serves an application on a socket that listens already.

    :param listener: the socket; it is the server's from now on.
    :param app: the application.
    """

    def __init__(self, listener: socket.socket, app: WsgiApp) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__((host, port), app, server_name=host)
        # cheroot sends headers and body apart; without this the second waits for the client's word on the first.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.settimeout(None)
        self.socket = listener
        self.gateway = _Gateway
        self.software = "pytest-isolated-emr"
        self.ready = True

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Every connection is kept until its client closes it."""
        return True

    def serve_forever(self) -> None:
        """Serve, until the process ends."""
        while True:
            try:
                connected, address = self.socket.accept()
            except ConnectionError:
                # Who came has gone again.
                continue
            threading.Thread(target=self._serve, args=(connected, address), daemon=True).start()

    def _serve(self, connected: socket.socket, address: tuple[str, int]) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(self, connected)
        connection.remote_addr, connection.remote_port = address[:2]
        try:
            while connection.communicate():
                pass
        except OSError:
            # The client is gone, which is its right.
            pass
        finally:
            connection.close()

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log nothing of what the server says about broken connections and malformed requests."""


class _HeadersAsSent(HeaderReader):  # type: ignore[misc]
    """Reads a request's headers. Of one that is sent several times all values are kept, joined by commas, as werkzeug does."""

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
        headers: dict[bytes, bytes] = {} if hdict is None else hdict
        name = b""
        while (line := rfile.readline()) != b"\r\n":
            if not line.endswith(b"\r\n"):
                raise ValueError("The headers do not end")
            if line[:1] in b" \t" and name:
                headers[name] += b" " + line.strip()
                continue
            name, colon, value = line.partition(b":")
            if not colon:
                raise ValueError("A header without a colon")
            name = name.strip().title()
            # Space after a value is kept, as by Python's own reader.
            value = value.lstrip(b" \t").rstrip(b"\r\n")
            headers[name] = headers[name] + b"," + value if name in headers else value
        return headers


class _Request(HTTPRequest):  # type: ignore[misc]
    header_reader = _HeadersAsSent()

    def __init__(self, server: Any, conn: Any) -> None:
        # Clients that take us for a proxy send whole URLs.
        super().__init__(server, conn, strict_mode=False)


class _Connection(HTTPConnection):  # type: ignore[misc]
    RequestHandlerClass = _Request

    def __init__(self, server: HttpServer, connected: socket.socket) -> None:
        super().__init__(server, connected, _make_file)


def _make_file(connected: socket.socket, mode: str, size: int) -> Any:
    # cheroot's own files are written in Python, for TLS.
    return connected.makefile("rb", size) if "r" in mode else _Writer(connected)


class _Writer:
    """The writing side of a connection."""

    closed = False

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def write(self, data: bytes) -> int:
        """Send all of some data."""
        self._socket.sendall(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing waits."""

    def close(self) -> None:
        """Do nothing: the socket is closed by its connection."""


class _Body:
    """A request's body, which is whole or an error."""

    def __init__(self, stream: KnownLengthRFile) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Return as many bytes as are asked for, or all that are left."""
        left = self._stream.remaining
        wanted = left if size < 0 else min(size, left)
        data: bytes = self._stream.read(wanted)
        if len(data) < wanted:
            # It must not be stored as if it were all.
            raise ClientDisconnected()
        return data


class _Gateway(Gateway_10):  # type: ignore[misc]
    """Hands requests over as moto's own server does (``MotoRequestHandler``)."""

    def get_environ(self) -> dict[str, Any]:
        """Return the WSGI environment."""
        request = self.req
        uri = request.uri.decode("latin-1")
        if uri.startswith("//"):
            # Python's own server does so, lest the first part is taken for a host.
            uri = "/" + uri.lstrip("/")
        environ: dict[str, Any] = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": _Body(request.rfile),
            # It ends by itself.
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "REQUEST_METHOD": request.method.decode("latin-1"),
            "SCRIPT_NAME": "",
            "REQUEST_URI": uri,
            # moto reads the path from here.
            "RAW_URI": uri,
            "REMOTE_ADDR": request.conn.remote_addr,
            "REMOTE_PORT": request.conn.remote_port,
            "SERVER_NAME": request.server.server_name,
            "SERVER_PORT": str(request.server.bind_addr[1]),
            "SERVER_PROTOCOL": request.request_protocol.decode("latin-1"),
            "SERVER_SOFTWARE": request.server.software,
        }
        underscored: dict[str, tuple[str, bytes]] = {}
        for name, value in request.inheaders.items():
            key, as_sent = _environ_key(name)
            if as_sent is None:
                environ[key] = value.decode("latin-1")
            elif as_sent:
                underscored[key] = as_sent, value
        names = {}
        for key, (as_sent, value) in underscored.items():
            if key not in environ:
                environ[key], names[key] = value.decode("latin-1"), as_sent
        environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = names
        if request.chunked_read:
            # cheroot's own reader copies what it has with each chunk. What is left unread must not be taken for a request.
            environ["wsgi.input"] = io.BufferedReader(DechunkedInput(request.conn.rfile))
            request.close_connection = True
        path, _, environ["QUERY_STRING"] = uri.partition("?")
        if not uri.startswith("/"):
            whole = urlsplit(uri)
            path, environ["HTTP_HOST"] = whole.path, whole.netloc
        environ["PATH_INFO"] = unquote(path).encode().decode("latin-1") if "%" in path else path
        return environ

    def respond(self) -> None:
        """Answer the request."""
        response = self.req.server.wsgi_app(self.env, self.start_response)
        if isinstance(response, ObjectBody):
            with closing(response):
                self.req.ensure_headers_sent()
                response.send(self.req.conn.socket)
            return
        try:
            for chunk in filter(None, response):
                self.write(chunk)
        finally:
            self.req.ensure_headers_sent()
            if hasattr(response, "close"):
                response.close()

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """Begin the answer; log the requests that the endpoint failed at (5xx), and no others."""
        if status.startswith("5"):
            # The path without its query, which may hold a key.
            method, path = self.env["REQUEST_METHOD"], self.env["RAW_URI"].partition("?")[0]
            print(f"answered {status[:3]} to {method} {path!r}", file=sys.stderr, flush=True)
        return super().start_response(status, headers, exc_info)


@lru_cache(maxsize=1024)
def _environ_key(header: bytes) -> tuple[str, str | None]:
    """Return a header's name in the WSGI environment, and for one with underscores its name as sent, ``""`` to drop it.

    WSGI's names have underscores for dashes, so that a header with underscores could stand in for another. moto wants them
    for the metadata of objects alone.
    """
    name = header.decode("latin-1")
    as_sent = name.lower() if should_preserve_original_header_name(name) else ""
    return environ_key_for_header(name), as_sent if "_" in name else None
