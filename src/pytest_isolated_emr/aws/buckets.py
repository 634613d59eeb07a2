"""What the keeper has done in buckets, through moto's models: making and filling them, and emptying a part of one."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

#: S3's own, where an upload names none (S3's API reference, PutObject).
_UNKNOWN_TYPE = "binary/octet-stream"


def make_bucket(name: str, region: str, directory: Path | None) -> None:
    """Make a bucket and put a directory's files into it.

    Through moto's models, which takes a fraction of what as many requests would.

    :param name: the bucket's name; S3's user guide, "General purpose bucket naming rules", has 3 to 63
        characters.
    :param region: where it is.
    :param directory: whose files it holds, with their relative paths as keys; None for an empty bucket.
    """
    backend = s3_backends[DEFAULT_ACCOUNT_ID][get_partition(region)]
    backend.create_bucket(name, region)
    if directory is None:
        return
    if not directory.is_dir():
        raise NotADirectoryError(f"bucket {name} was to be filled from {directory}, which is no directory")
    for key, path in files_below(directory):
        stored = backend.put_object(name, key, path.read_bytes())
        stored.set_metadata({"Content-Type": mimetypes.guess_type(path.name)[0] or _UNKNOWN_TYPE})


def empty_prefix(name: str, region: str, prefix: str) -> None:
    """Delete what is below a prefix of a bucket, with all its versions.

    By requests, a listing and a deletion of each thousand, 100,000 objects take a hundred times as long.

    :param name: the bucket's name; nothing is to be deleted in one that is gone.
    :param region: where it is.
    :param prefix: what the keys begin with.
    """
    bucket = s3_backends[DEFAULT_ACCOUNT_ID][get_partition(region)].buckets.get(name)
    if bucket is None:
        return
    # A copy: requests are served meanwhile.
    for key in list(bucket.keys):
        if key.startswith(prefix):
            # This disposes of the versions, and leaves alone the delete markers among them, which cannot be disposed of.
            bucket.keys.setlist(key, [])
            # Somebody may have deleted it just now.
            with suppress(KeyError):
                bucket.keys.pop(key)


def files_below(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the key and path of every file below a directory, in the keys' order.

    Links to files inside it count as files. What leads out of it is left alone: a stray link to a home
    directory must not copy that into a bucket. Links to directories are not entered, since they can form
    circles.

    :param directory: where to look.
    """
    root = directory.resolve()
    found = []
    for parent, _, names in os.walk(root):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and path.resolve().is_relative_to(root):
                found.append((path.relative_to(root).as_posix(), path))
    yield from sorted(found)
