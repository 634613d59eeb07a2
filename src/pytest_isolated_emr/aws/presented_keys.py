"""Which access key ids a request presents, in each of the places where AWS's protocols put one.

Nothing here judges a key. A request may name several, and the reader of this module's answer has to like them
all: moto and the check could otherwise be made to look at different ones.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data as PartData
from werkzeug.sansio.multipart import Epilogue, Field, File, MultipartDecoder, NeedData

#: As much of a body as is looked at for a key. AWS caps the form of a presigned POST, without its file, at 20
#: KB (S3's user guide, "POST policy"), and no query-protocol request is nearly as large as this.
_PEEK_LIMIT = 2 * 1024 * 1024
_CHUNK = 64 * 1024

# "Authorization" as the SigV4 and SigV2 pages of AWS's general reference and S3's developer guide spell it.
_SIGV4 = re.compile(r"\s*AWS4-(?:HMAC-SHA256|ECDSA-P256-SHA256)\s+(?P<fields>.*)\Z", re.DOTALL)
_SIGV4_FIELD = re.compile(r"\s*(?:Credential=(?P<key>[^/\s]*)(?:/\S*)?|SignedHeaders=\S*|Signature=\S*)\s*\Z")
_SIGV2 = re.compile(r"\s*AWS\s+(?P<key>[^:,\s]+):[^,\s]*\s*\Z")

_CREDENTIAL_FIELD = "x-amz-credential"
_SIGV2_FIELD = "awsaccesskeyid"


def keys_in_authorization(header: str) -> list[str]:
    """Return the keys that an ``Authorization`` header names, ``""`` for a form not understood.

    :param header: the value; several such headers arrive joined by commas, which no single one has in these
        places.
    """
    if not header.strip():
        return []
    if sigv4 := _SIGV4.match(header):
        fields = [_SIGV4_FIELD.match(field) for field in sigv4["fields"].split(",")]
        if not all(fields):
            return [""]
        return [field["key"] for field in fields if field and field["key"] is not None] or [""]
    if sigv2 := _SIGV2.match(header):
        return [sigv2["key"]]
    # Bearer, Basic and what else there is name no key of AWS's.
    return [""]


def keys_in_fields(fields: Iterable[tuple[str, str]]) -> list[str]:
    """Return the keys among the fields of a query string or form (S3 takes a form's names in any case)."""
    keys = []
    for name, value in fields:
        folded = name.casefold()
        if folded == _CREDENTIAL_FIELD:
            keys.append(value.split("/", 1)[0])
        elif folded == _SIGV2_FIELD:
            keys.append(value)
    return keys


def presented_keys(environ: dict[str, Any]) -> list[str]:
    """Return every key that the request names; its body can still be read afterwards.

    :param environ: the WSGI environment; its ``wsgi.input`` is replaced if a part of the body had to be
        looked at.
    """
    keys = keys_in_authorization(environ.get("HTTP_AUTHORIZATION", ""))
    keys += keys_in_fields(query_fields(environ))
    if environ.get("REQUEST_METHOD") == "POST":
        keys += keys_in_fields(_form_fields(environ))
    return keys


def query_fields(environ: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the names and values of the query string."""
    return parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)


def _form_fields(environ: dict[str, Any]) -> list[tuple[str, str]]:
    kind, options = parse_options_header(environ.get("CONTENT_TYPE", ""))
    if kind == "application/x-www-form-urlencoded":
        # SigV2 of the query protocol (SimpleDB's clients still use it) has the key in the body.
        start = _peek(environ, _PEEK_LIMIT)
        return parse_qsl(start.decode("utf-8", "replace"), keep_blank_values=True)
    if kind == "multipart/form-data" and options.get("boundary"):
        return _multipart_fields(environ, options["boundary"].encode("latin-1", "replace"))
    return []


def _multipart_fields(environ: dict[str, Any], boundary: bytes) -> list[tuple[str, str]]:
    """Read the fields before the file, and nothing of the file.

    "The file or content must be the last field in the form. Any fields below it are ignored" (S3's API
    reference, "POST Object"), so that a key after the file counts for nothing.
    """
    decoder = MultipartDecoder(boundary, _PEEK_LIMIT)
    stream, seen = _body(environ), bytearray()
    fields: list[tuple[str, str]] = []
    name, value = None, bytearray()
    try:
        while len(seen) < _PEEK_LIMIT:
            chunk = stream.read(_CHUNK)
            seen += chunk
            decoder.receive_data(chunk or None)
            while not isinstance(event := decoder.next_event(), NeedData):
                if isinstance(event, Epilogue | File):
                    return fields
                if isinstance(event, Field):
                    name, value = event.name, bytearray()
                elif isinstance(event, PartData) and name is not None:
                    value += event.data
                    if not event.more_data:
                        fields.append((name, value.decode("utf-8", "replace")))
            if not chunk:
                break
    except (ValueError, RequestEntityTooLarge):
        # Not a form after all. What was found so far stands, and moto shall say what it thinks of the rest.
        pass
    finally:
        environ["wsgi.input"] = _replayed(bytes(seen), stream)
    return fields


def _peek(environ: dict[str, Any], size: int) -> bytes:
    stream = _body(environ)
    start = stream.read(size)
    environ["wsgi.input"] = _replayed(start, stream)
    return start


class _Body(io.RawIOBase):
    """The request's body: up to its length, or to the end of a stream that knows its own (chunked)."""

    def __init__(self, stream: Any, remaining: int | None) -> None:
        self._stream = stream
        self._remaining = remaining

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer) if self._remaining is None else min(len(buffer), self._remaining)
        data: bytes = self._stream.read(size) if size else b""
        if self._remaining is not None:
            self._remaining -= len(data)
        buffer[: len(data)] = data
        return len(data)


def _body(environ: dict[str, Any]) -> io.BufferedReader:
    if environ.get("wsgi.input_terminated"):
        return io.BufferedReader(_Body(environ["wsgi.input"], None))
    try:
        length = max(int(environ.get("CONTENT_LENGTH") or 0), 0)
    except ValueError:
        length = 0
    return io.BufferedReader(_Body(environ["wsgi.input"], length))


class _Chained(io.RawIOBase):
    """What was already read, then the rest: a large upload is never held as a whole."""

    def __init__(self, start: bytes, rest: io.BufferedReader) -> None:
        self._start = io.BytesIO(start)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._start.read(len(buffer)) or self._rest.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _replayed(start: bytes, rest: io.BufferedReader) -> io.BufferedReader:
    return io.BufferedReader(_Chained(start, rest))
