"""Listings of S3 while others delete: each key that a listing is at is as it was when that began.

moto goes through a bucket's keys as they were, and looks each up as it is by then. Requests are served by threads of their own, so a
key may be gone in between, and the listing was an error of the server's (https://github.com/getmoto/moto, `_VersionedKeyStore`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.s3.utils import _VersionedKeyStore


def install() -> None:
    """Go through keys and their versions as they are at one moment. Call it once, before the first request."""
    _VersionedKeyStore.items = _VersionedKeyStore.iteritems = _items
    _VersionedKeyStore.values = _VersionedKeyStore.itervalues = _values
    _VersionedKeyStore.lists = _VersionedKeyStore.iterlists = _lists


def _lists(store: dict[str, list[Any]]) -> Iterator[tuple[str, list[Any]]]:
    # The copy is made without letting go of the interpreter's lock.
    yield from dict(store).items()


def _items(store: dict[str, list[Any]]) -> Iterator[tuple[str, Any]]:
    # One whose versions are being removed has none.
    return ((key, versions[-1]) for key, versions in _lists(store) if versions)


def _values(store: dict[str, list[Any]]) -> Iterator[Any]:
    return (newest for _, newest in _items(store))
