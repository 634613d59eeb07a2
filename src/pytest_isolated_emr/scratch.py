"""Scratch: a unique prefix on S3 and a unique local directory, for one test or for the session."""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_isolated_emr.lifecycle.removal import clear_directory

#: So long a test's end may take to copy what is kept of its objects; who looks at a failure needs no more of them.
KEEP_SECONDS = 20.0

#: So long the next test waits for the removal of files.
REMOVE_SECONDS = 0.5

_MAX_NAME = 60
# One that is larger is read in parts, each of which is tried again where it breaks off.
_SMALL = 1 << 20


@dataclass(frozen=True)
class Scratch:
    """A place that nobody else writes to, on S3 and on the local disk.

    ``scratch / "in"`` is the place of that name below it; ``str(scratch)`` is its URI.

    :param uri: the S3 prefix as ``s3://bucket/prefix``, without a trailing slash.
    :param path: the local directory.
    """

    uri: str
    path: Path

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> Scratch:
        """Return the place of that name below this one; its local directory is not made.

        :param name: a relative name, which may have several parts.
        :raises ValueError: the name is empty, absolute, or leads out of the scratch.
        """
        parts = name.split("/")
        if not name or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"not a name below the scratch: {name!r}")
        return Scratch(f"{self.uri}/{name}", self.path / name)

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.uri.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """The key prefix in the bucket, without a trailing slash."""
        return self.uri.removeprefix("s3://").partition("/")[2]


def name_for(node_id: str, number: int) -> str:
    """Return a name for a test's scratch that is fit for paths and keys, and unique by its number.

    :param node_id: the test's id.
    :param number: the count of scratches that this process made before.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "-", node_id.rpartition("/")[2]).strip("-")
    return f"{plain[:_MAX_NAME].rstrip('-')}-{number}"


def remove_objects(scratch: Scratch, s3: Any) -> None:
    """Remove the scratch on S3, by requests: a listing and a deletion of each thousand.

    :param scratch: what to remove.
    :param s3: a boto3 client of the session.
    """
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=scratch.bucket, Prefix=f"{scratch.prefix}/"
    )
    for page in pages:
        versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if versions:
            objects = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in versions]
            s3.delete_objects(Bucket=scratch.bucket, Delete={"Objects": objects, "Quiet": True})


def remove_directory(scratch: Scratch) -> None:
    """Remove the scratch on the disk, with what a test has made read-only.

    What cannot be removed, or not within :data:`REMOVE_SECONDS`, stays for the end of the session, which says so.

    :param scratch: what to remove.
    """
    if not _open_up(scratch.path):
        # A test removed it, or put something else there.
        scratch.path.unlink(missing_ok=True)
        return
    directory = os.open(scratch.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        problems = clear_directory(directory, seconds=REMOVE_SECONDS)
    finally:
        os.close(directory)
    if not problems:
        scratch.path.rmdir()


def _open_up(path: Path) -> bool:
    """Give this user back the rights to a directory, which moving or emptying it needs; tell whether there is one."""
    try:
        is_directory = stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False
    if is_directory:
        path.chmod(0o700)
    return is_directory


def keep(scratch: Scratch, s3: Any, destination: Path) -> bool:
    """Put the scratch to where it outlives the session: its directory becomes ``local/`` below the destination, and its
    objects are copied to ``s3/``.

    :param scratch: what to keep.
    :param s3: a boto3 client of the session.
    :param destination: a directory in the same file system, which must not exist.
    :returns: whether all of it is there; no object is begun after :data:`KEEP_SECONDS`.
    """
    destination.mkdir(parents=True, mode=0o700)
    if _open_up(scratch.path) or os.path.lexists(scratch.path):
        scratch.path.rename(destination / "local")
    deadline = time.monotonic() + KEEP_SECONDS
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=scratch.bucket, Prefix=f"{scratch.prefix}/"
    ):
        for item in page.get("Contents", []):
            target = _below(destination / "s3", item["Key"].removeprefix(f"{scratch.prefix}/"))
            if time.monotonic() > deadline:
                return False
            if target is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                _download(s3, scratch.bucket, item["Key"], target, is_small=item["Size"] < _SMALL)
    return True


def _download(s3: Any, bucket: str, key: str, target: Path, *, is_small: bool) -> None:
    if is_small:
        # A quarter of the time of boto3's threads.
        target.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    else:
        s3.download_file(bucket, key, str(target))


def _below(base: Path, key: str) -> Path | None:
    """Return the file for a key, or nothing for a key that is a directory marker or leads elsewhere."""
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return None
    return base.joinpath(*parts)
