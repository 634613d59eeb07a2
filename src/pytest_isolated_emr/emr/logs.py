"""The logs of a cluster: on disk while it runs, and on S3 in the layout that the EMR Management Guide describes
("View log files", "Amazon S3 log paths")."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from pytest_isolated_emr.emr import objects

_BLOCK = 1 << 20


class ControllerLog:
    """The ``controller`` log: what EMR itself says about a step or a bootstrap action.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def info(self, text: str) -> None:
        """Write a line, or several.

        :param text: what to say.
        """
        self._write("INFO", text)

    def warn(self, text: str) -> None:
        """Write a line, or several, of something that went wrong.

        :param text: what to say.
        """
        self._write("WARN", text)

    def _write(self, level: str, text: str) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{now} {level} {text}\n")


class LogUploads:
    """Where a cluster's logs go on S3, if anywhere.

    :param log_uri: the cluster's LogUri; None for no logs there.
    :param cluster_id: the cluster.
    """

    def __init__(self, log_uri: str | None, cluster_id: str) -> None:
        self._root = f"{log_uri.rstrip('/')}/{cluster_id}" if log_uri else None

    def url(self, *parts: str) -> str | None:
        """Return where a log is, or will be, on S3.

        :param parts: such as ``steps``, the step's id, ``stderr``.
        """
        return f"{self._root}/{'/'.join(parts)}.gz" if self._root else None

    def send(self, directory: Path, *parts: str) -> list[str]:
        """Copy the logs of a directory, and of those in it, to S3, each compressed.

        :param directory: the directory.
        :param parts: where, below the cluster's logs.
        :returns: what could not be stored, one sentence each.
        """
        problems = []
        if self._root:
            for path in sorted(path for path in directory.rglob("*") if path.is_file()):
                url = self.url(*parts, *path.relative_to(directory).parts)
                assert url is not None
                try:
                    _upload_compressed(path, url)
                except objects.NoSuchObject as error:
                    problems.append(f"the log {path.name} was not stored: {error}")
        return problems


def _upload_compressed(path: Path, url: str) -> None:
    with tempfile.NamedTemporaryFile() as packed:
        # A step may have printed more than there is memory.
        with path.open("rb") as log, gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as compressed:
            shutil.copyfileobj(log, compressed, _BLOCK)
        packed.flush()
        objects.upload(Path(packed.name), url)
