"""How the keeper and its clients talk: one JSON object a line, over a Unix socket.

A request is ``{"id": n, "op": name, …}``; its reply has the same id and either the result's fields or an ``error``.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

Message = dict[str, Any]

SOCKET_NAME = "keeper.sock"
#: The name by which the endpoint attaches to its keeper, where an xdist worker gives its own.
ENDPOINT = "endpoint"
#: The longest line either side accepts, in bytes. Settings and environments are a few kilobytes.
MAX_LINE = 16 * 1024 * 1024

# The kernel's limit is 108 bytes on Linux and 104 on macOS, with the closing zero.
_MAX_SOCKET_PATH = 100


def encode(message: Mapping[str, Any]) -> bytes:
    """Return the message as one line of JSON."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return the message of one line.

    :raises ValueError: the line is no JSON object.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"not an object: {line[:80]!r}")
    return message


def bind(directory: Path) -> socket.socket:
    """Return a socket that listens inside ``directory``, which only this user may enter."""
    listener = socket.socket(socket.AF_UNIX)
    _at_short_path(directory, listener.bind)
    listener.listen()
    return listener


def connect(directory: Path) -> socket.socket:
    """Return a socket connected to the keeper of this user's that listens inside ``directory``.

    :raises OSError: nobody listens there, or another user does.
    """
    client = socket.socket(socket.AF_UNIX)
    try:
        _at_short_path(directory, client.connect)
        if not is_of_this_user(client):
            raise PermissionError(errno.EPERM, "Another user listens there", str(directory / SOCKET_NAME))
    except OSError:
        client.close()
        raise
    return client


def _at_short_path(directory: Path, act: Any) -> None:
    path = directory / SOCKET_NAME
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH or sys.platform != "linux":
        act(str(path))
        return
    # A state root deep in a directory tree: the kernel takes the path through an open descriptor as well.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        act(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
    finally:
        os.close(descriptor)


class Peerable(Protocol):
    """A socket, or what asyncio shows of one."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """Return an option's value."""


def peer(connection: Peerable) -> tuple[int, int] | None:
    """Return the pid and the uid of the process at the other end, where the system tells."""
    if sys.platform != "linux":
        return None
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", packed)
    return pid, uid


def is_of_this_user(connection: Peerable) -> bool:
    """Tell whether the process at the other end is this user's, or may be, where the system does not tell."""
    found = peer(connection)
    return found is None or found[1] == os.geteuid()
