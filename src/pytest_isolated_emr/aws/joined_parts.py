"""Uploads in parts are joined from file to file.

moto reads all parts twice and copies them some four times in memory, while no other write is let in (``atomic_writes``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from tempfile import SpooledTemporaryFile
from types import SimpleNamespace
from typing import Any

from moto.s3.models import FakeKey, FakeMultipart, MultipartChecksumBuilder
from moto.settings import get_s3_default_key_buffer_size

_PIECE = 1 << 18


class JoinedParts:
    """The bytes of some parts, one after the other; stands for ``bytes`` on their way into an object.

    They are joined at once, since moto closes the parts' files before it makes the object.

    :param parts: the parts.
    :param memory: as many bytes are kept in memory.
    """

    def __init__(self, parts: Sequence[FakeKey], memory: int) -> None:
        self._length = sum(part.size for part in parts)
        #: Where they are.
        self.file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(memory)  # noqa: SIM115 - the object's
        if self._length > memory:
            self.file.rollover()
        for part in parts:
            _append(part, self.file)

    def __len__(self) -> int:
        length: int = self._length
        return length


def _append(part: FakeKey, file: SpooledTemporaryFile[bytes]) -> None:
    buffer = part._value_buffer
    if not buffer._rolled:
        file.write(part.value)
        return
    buffer.flush()
    at = 0
    while at < part.size:
        # It asks for no place in the part's file, which others may read.
        piece = os.pread(buffer.fileno(), min(_PIECE, part.size - at), at)
        if not piece:
            raise EOFError(f"a part's file ends at byte {at}, not at {part.size}")
        file.write(piece)
        at += len(piece)
    file.flush()


def install() -> None:
    """Have moto join parts so. Call it once, before the first request, with ``object_bodies``."""
    complete = FakeMultipart.complete

    def join(upload: FakeMultipart, body: Iterator[tuple[int, str]]) -> tuple[Any, str, Any]:
        named = list(body)
        # moto looks whether all is as it should be, and makes the whole's tag of the parts'. It is shown no bytes.
        known = {
            number: SimpleNamespace(etag=part.etag, contentsize=part.contentsize, value=b"")
            for number, part in upload.parts.items()
        }
        _, etag, _ = complete(SimpleNamespace(metadata=upload.metadata, parts=known), iter(named))
        parts = [upload.parts[number] for number, _ in named]
        joined = JoinedParts(parts, get_s3_default_key_buffer_size())
        return joined, etag, _checksum(upload, parts)

    FakeMultipart.complete = join


def _checksum(upload: FakeMultipart, parts: Sequence[FakeKey]) -> Any:
    algorithm = upload.metadata.get("x-amz-checksum-algorithm")
    builder = MultipartChecksumBuilder(algorithm, upload.metadata.get("x-amz-checksum-type"))
    for part in parts:
        # Of an upload that names no algorithm answers have the checksum's type, and not the checksum.
        builder.addPart(part.value if algorithm else b"")
    return builder.build()
