"""Logs that EMR puts on S3: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-manage-view-web-log-files.html"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_isolated_emr.backends.emr.account import aws_errors

_BLOCK = 1 << 20
_PACKED = b"\x1f\x8b"
#: Some releases name the logs so: ``stdout.gz``, ``stdout.txt.gz``.
_ENDINGS = (".gz", ".txt")


@dataclass(frozen=True)
class LogOnS3:
    """A log, or a directory of logs, on S3. As with a path, ``log / "controller"`` is the log of that name below it.

    :param uri: where it is, as ``s3://bucket/key``; empty where the cluster keeps no logs on S3.
    """

    uri: str
    _read: Callable[[str], str] = field(repr=False, compare=False)

    def __truediv__(self, name: str) -> LogOnS3:
        return LogOnS3(f"{self.uri}/{name}" if self.uri else "", self._read)

    def __str__(self) -> str:
        return self.uri

    def read_text(self) -> str:
        """Return the log's text, unpacked. It is waited for as a step's output is.

        :raises StepLogsMissing: it is not there.
        """
        return self._read(self.uri)


@dataclass(frozen=True)
class StoredLog:
    """A log as S3 lists it.

    :param key: its key in the bucket.
    :param name: its name below the directory that was listed, without the endings of packed texts.
    :param size: in bytes.
    :param modified: when it was put there, by S3's clock in whole seconds.
    """

    key: str
    name: str
    size: int
    modified: datetime


class LogDirectory:
    """A directory of logs on S3.

    :param s3: a boto3 client of S3.
    :param uri: where it is, in any of the schemes that EMR has for S3.
    """

    def __init__(self, s3: Any, uri: str) -> None:
        self._s3 = s3
        self._bucket, _, key = uri.partition("://")[2].partition("/")
        self._root = f"{key.rstrip('/')}/" if key.strip("/") else ""

    @property
    def uri(self) -> str:
        """Where it is, as ``s3://bucket/key``, without a slash at its end."""
        return f"s3://{self._bucket}/{self._root}".rstrip("/")

    @property
    def bucket(self) -> str:
        """The bucket that it is in."""
        return self._bucket

    def below(self, *parts: str) -> LogDirectory:
        """Return a directory in it.

        :param parts: names, from this directory on.
        """
        return LogDirectory(self._s3, "/".join([self.uri, *parts]))

    def stored(self) -> Iterator[StoredLog]:
        """Return all that is in it and below.

        :raises AwsRefused: it may not be looked at.
        :raises IsolatedEmrError: AWS cannot be asked.
        """
        with aws_errors(f"listing the logs below {self.uri}/ (s3:ListBucket)"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._root)
            for page in pages:
                for found in page.get("Contents", ()):
                    name = found["Key"].removeprefix(self._root)
                    for ending in _ENDINGS:
                        name = name.removesuffix(ending)
                    yield StoredLog(found["Key"], name, found["Size"], found["LastModified"])

    def name_of(self, log: StoredLog) -> str:
        """Return a log's whole name below this directory.

        :param log: one that :meth:`stored` returned.
        """
        return log.key.removeprefix(self._root)

    def download(self, log: StoredLog, target: Path) -> None:
        """Copy a log as it is.

        :param log: one that :meth:`stored` returned.
        :param target: the file.
        :raises OSError: it cannot be written.
        :raises IsolatedEmrError: it cannot be read.
        """
        with aws_errors(f"copying the log s3://{self._bucket}/{log.key} (s3:GetObject)"):
            body = self._s3.get_object(Bucket=self._bucket, Key=log.key)["Body"]
            with target.open("wb") as file:
                shutil.copyfileobj(body, file, _BLOCK)

    def text(self, log: StoredLog) -> str:
        """Return the text of a log.

        :param log: one that :meth:`stored` returned.
        :raises IsolatedEmrError: it cannot be read.
        """
        with aws_errors(f"reading the log s3://{self._bucket}/{log.key} (s3:GetObject)"):
            data: bytes = self._s3.get_object(Bucket=self._bucket, Key=log.key)["Body"].read()
        return (gzip.decompress(data) if data.startswith(_PACKED) else data).decode(errors="replace")
