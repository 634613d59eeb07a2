"""Objects of the session's S3 as the endpoint itself reads and writes them, past HTTP."""

from __future__ import annotations

import mmap
from pathlib import Path
from urllib.parse import urlsplit

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import ServiceException
from moto.s3.exceptions import S3ClientError
from moto.s3.models import s3_backends

from pytest_isolated_emr.spark.s3 import SCHEMES


class NoSuchObject(Exception):
    """There is no such object, or no such bucket."""


def is_object(url: str) -> bool:
    """Tell whether a path is one of S3's.

    :param url: such as ``s3://bucket/key``.
    """
    return urlsplit(url).scheme in SCHEMES


def bucket_and_key(url: str) -> tuple[str, str]:
    """Return the bucket and the key of a URL.

    :param url: such as ``s3://bucket/key``.
    """
    parts = urlsplit(url, allow_fragments=False)
    return parts.netloc, parts.path.lstrip("/")


def download(url: str, path: Path) -> None:
    """Write an object to a file.

    :param url: such as ``s3://bucket/key``.
    :param path: the file.
    :raises NoSuchObject: there is none.
    """
    bucket, key = bucket_and_key(url)
    try:
        found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)
    except (S3ClientError, ServiceException) as error:
        raise NoSuchObject(f"{url}: {error}") from error
    if found is None:
        raise NoSuchObject(f"{url}: the specified key does not exist")
    path.write_bytes(found.value)


def upload(path: Path, url: str) -> None:
    """Store a file as an object.

    :param path: the file, which is not empty.
    :param url: where.
    :raises NoSuchObject: there is no such bucket.
    """
    bucket, key = bucket_and_key(url)
    # moto copies what it is given into a buffer, and that to the disk if it is large: one copy, and none of our own.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, content)
        except (S3ClientError, ServiceException) as error:
            raise NoSuchObject(f"{url}: {error}") from error
