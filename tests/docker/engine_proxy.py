"""A stand-in for the engine's socket that passes everything on to the real one, but for what a test wants to go wrong."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

REAL = "/var/run/docker.sock"
#: What to answer a request instead, by its method and path; nothing passes it on.
Fault = Callable[[str, str], "bytes | None"]


def refusal(status: int, message: str) -> bytes:
    """What the engine says when it cannot."""
    body = f'{{"message": "{message}"}}'.encode()
    head = f"HTTP/1.1 {status} Failed\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


class EngineProxy:
    """Listens on a socket of its own until it is closed."""

    def __init__(self, path: Path, fault: Fault) -> None:
        self._fault = fault
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self.url = f"unix://{path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop all connections, and take no more, as an engine that is stopped."""
        self._listener.close()
        for connection in self._connections:
            # Both ways, or the thread that reads it would not notice.
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Serve one request; what comes after its head is passed on as it comes."""
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = client.recv(65536)
                if not chunk:
                    return
                head += chunk
            method, path, _ = head.decode("latin-1").split(" ", 2)
            answer = self._fault(method, path)
            if answer is not None:
                client.sendall(answer)
                return
            if b"\r\nUpgrade:" not in head:
                # One request a connection, so that each is looked at.
                head = re.sub(rb"\r\nConnection: [^\r]*", b"", head, count=1)
                head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(REAL)
                self._connections.append(engine)
                engine.sendall(head)
                threading.Thread(target=_copy, args=(client, engine), daemon=True).start()
                _copy(engine, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
