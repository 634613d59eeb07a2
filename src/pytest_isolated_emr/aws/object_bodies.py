"""The bytes of large objects: read from where they are when they are sent, and no more than is asked for.

moto keeps an object in a ``SpooledTemporaryFile``, a large one so on disk, and reads it as a whole for each request: 256 MB for
a range of one. Spark reads parquet by ranges.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

from moto.s3.models import FakeKey
from moto.s3.responses import S3Response
from moto.utilities.utils import md5_hash
from wrapt import ObjectProxy

from .joined_parts import JoinedParts

_PIECE = 1 << 18


def install() -> None:
    """Have large objects written to their file at once, and hashed from memory. Call it once, before the first request.

    The buffer would hold them in memory first, beside the request's body, and the hash be made of what is read back.
    """
    get, put = FakeKey.value.fget, FakeKey.value.fset

    def write(key: FakeKey, value: bytes | JoinedParts) -> None:
        if isinstance(value, JoinedParts):
            key._value_buffer.close()
            key._value_buffer = value.file
            key.contentsize = len(value)
            return
        if len(value) > key._max_buffer_size:
            key._value_buffer.rollover()
            if key._etag is None:
                key._etag = md5_hash(value).hexdigest()
        put(key, value)

    FakeKey.value = property(get, write)


class ObjectBody:
    """A part of a file, with as much of the ways of ``bytes`` as moto and WSGI servers use.

    It stays readable when its object is overwritten or deleted meanwhile.

    :param fd: the file, which this closes.
    :param start: the first byte's place.
    :param length: the number of bytes.
    """

    def __init__(self, fd: int, start: int, length: int) -> None:
        self._fd = fd
        self._start = start
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, wanted: slice) -> ObjectBody:
        start, stop, _ = wanted.indices(self._length)
        return ObjectBody(os.dup(self._fd), self._start + start, max(stop - start, 0))

    def __iter__(self) -> Iterator[bytes]:
        at, end = self._start, self._start + self._length
        while at < end:
            yield (piece := os.pread(self._fd, min(_PIECE, end - at), at))
            at += self._counted(len(piece), at)

    def send(self, receiver: socket.socket) -> None:
        """Send the bytes, which the kernel does by itself.

        :param receiver: a connection that waits where it must.
        """
        at, end = self._start, self._start + self._length
        while at < end:
            at += self._counted(os.sendfile(receiver.fileno(), self._fd, at, end - at), at)

    def _counted(self, count: int, at: int) -> int:
        if not count:
            raise EOFError(f"an object's file ends at byte {at}, not at {self._start + self._length}")
        return count

    def close(self) -> None:
        """Close the file, once."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class _KeyReadInPlace(ObjectProxy):  # type: ignore[type-arg]
    """moto's object, with its bytes as an :class:`ObjectBody` if they are in a file."""

    @property
    def value(self) -> bytes | ObjectBody:
        """The bytes."""
        key: FakeKey = self.__wrapped__
        buffer = key._value_buffer
        # Asked for the number of its file, the buffer would make one.
        if not buffer._rolled:
            held: bytes = key.value
            return held
        with key.lock:
            # What was written may still be on its way to the file.
            buffer.flush()
        return ObjectBody(os.dup(buffer.fileno()), 0, key.size)


class S3InPlace(S3Response):  # type: ignore[misc]
    """moto's S3, which reads large objects in place."""

    def _get_key(self, *arguments: Any, **named: Any) -> tuple[Any, bool]:
        key, not_modified = super()._get_key(*arguments, **named)
        return _KeyReadInPlace(key), not_modified
