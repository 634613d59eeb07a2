"""Places that ``s3-dist-cp`` copies from and to: a prefix of the session's S3, or a directory of HDFS or the machine."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from pytest_isolated_emr.emr.cluster_directory import hdfs_directory
from pytest_isolated_emr.emr.commands.s3_files import is_remote


@dataclass(frozen=True)
class File:
    """A file at a place.

    :param url: the whole of its URL, which patterns are matched with.
    :param name: its path below the place.
    :param size: in bytes.
    """

    url: str
    name: str
    size: int


class Place(ABC):
    """A place with files."""

    @abstractmethod
    def files(self) -> Iterator[File]:
        """Return all files, those in directories of the place too, ordered by name; the place itself may be one."""

    @abstractmethod
    def read(self, file: File, into: IO[bytes]) -> None:
        """Write a file's content.

        :param file: one of :meth:`files`.
        :param into: where it is written.
        """

    @abstractmethod
    def write(self, name: str, content: IO[bytes]) -> None:
        """Make a file, or replace it.

        :param name: its path below the place.
        :param content: is read to its end.
        """

    @abstractmethod
    def delete(self, file: File) -> None:
        """Delete a file.

        :param file: one of :meth:`files`.
        """


def place_of(url: str, cluster: Path) -> Place:
    """Return the place that a path or URL names; without a scheme it is one of HDFS, the cluster's default.

    :param url: such as ``s3://bucket/prefix``, ``hdfs:///directory`` or ``file:///directory``.
    :param cluster: the cluster's directory.
    :raises ValueError: it is of another file system.
    """
    parts = urlsplit(url, allow_fragments=False)
    if is_remote(url):
        return _S3(parts.scheme, parts.netloc, parts.path.lstrip("/"))
    if parts.scheme == "file":
        return _Directory(Path(unquote(parts.path)), "file://", Path(unquote(parts.path)))
    if parts.scheme in ("", "hdfs"):
        # A relative path is the user's, who is hadoop on EMR.
        inside = parts.path if parts.path.startswith("/") else f"/user/hadoop/{parts.path}"
        root = hdfs_directory(cluster)
        return _Directory(root / inside.lstrip("/"), "hdfs://", Path(inside))
    raise ValueError(f'No FileSystem for scheme "{parts.scheme}"')


class _Directory(Place):
    def __init__(self, path: Path, scheme: str, shown: Path) -> None:
        self._path, self._scheme, self._shown = path, scheme, shown

    def files(self) -> Iterator[File]:
        if self._path.is_file():
            yield File(f"{self._scheme}{self._shown}", self._path.name, self._path.stat().st_size)
            return
        for path in sorted(path for path in self._path.rglob("*") if path.is_file()):
            name = path.relative_to(self._path).as_posix()
            # Checksums that Hadoop keeps beside the files of a local directory are no files of HDFS.
            if not (path.name.startswith(".") and path.suffix == ".crc"):
                yield File(f"{self._scheme}{self._shown / name}", name, path.stat().st_size)

    def read(self, file: File, into: IO[bytes]) -> None:
        with self._at(file).open("rb") as content:
            shutil.copyfileobj(content, into)

    def write(self, name: str, content: IO[bytes]) -> None:
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(f".{target.name}.crc").unlink(missing_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)

    def delete(self, file: File) -> None:
        path = self._at(file)
        path.unlink()
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)

    def _at(self, file: File) -> Path:
        return self._path if self._path.is_file() else self._path / file.name


class _S3(Place):
    def __init__(self, scheme: str, bucket: str, key: str) -> None:
        import boto3

        self._client: Any = boto3.client("s3")
        self._scheme, self._bucket, self._key = scheme, bucket, key.rstrip("/")

    def files(self) -> Iterator[File]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._key)
        for page in pages:
            for entry in page.get("Contents", ()):
                key: str = entry["Key"]
                if key == self._key:
                    name = key.rpartition("/")[2]
                elif not self._key or key.startswith(f"{self._key}/"):
                    name = key[len(self._key) :].lstrip("/")
                else:
                    continue
                # An object that stands for a directory is no file.
                if name and not key.endswith(("/", "_$folder$")):
                    yield File(f"{self._scheme}://{self._bucket}/{key}", name, entry["Size"])

    def read(self, file: File, into: IO[bytes]) -> None:
        self._client.download_fileobj(self._bucket, self._key_of(file), into)

    def write(self, name: str, content: IO[bytes]) -> None:
        key = f"{self._key}/{name}" if self._key else name
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content)

    def delete(self, file: File) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=self._key_of(file))

    def _key_of(self, file: File) -> str:
        return file.url.partition(f"://{self._bucket}/")[2]
