"""Removing what is in an open directory, never through a link or into another file system.

``shutil.rmtree`` is not enough: it takes a directory's descriptor only since Python 3.11, stops at what a
test made read-only, and would empty what is mounted below.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Collection
from pathlib import Path

_OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def clear_directory(directory: int, *, spared: Collection[str] = (), seconds: float = math.inf) -> list[str]:
    """Remove what is in a directory, going on past failures.

    :param directory: a descriptor of it.
    :param spared: names in it that stay.
    :param seconds: how long it may take: nothing is begun after it, and what is there then is a problem.
    :return: what could not be removed, and why.
    """
    removal = _Removal(os.fstat(directory).st_dev, time.monotonic() + seconds)
    for name in os.listdir(directory):
        if name not in spared:
            removal.remove(directory, name, name)
    return removal.problems


def size_on_disk(path: str | os.PathLike[str]) -> int:
    """Return how many bytes of the disk a directory takes, links not followed.

    :param path: the directory.
    """
    total = 0
    for _, directories, files, descriptor in os.fwalk(path):
        for name in (*directories, *files):
            try:
                total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


class _Removal:
    def __init__(self, device: int, end: float) -> None:
        self._device = device
        self._end = end
        self._is_late = False
        self.problems: list[str] = []

    def remove(self, parent: int, name: str, shown: str) -> None:
        if self._is_late:
            return
        if time.monotonic() > self._end:
            self._is_late = True
            self.problems.append(f"{shown}: there was no time left for it, nor for what is after it")
            return
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                os.unlink(name, dir_fd=parent)
            elif found.st_dev != self._device:
                self.problems.append(f"{shown}: another file system is mounted there")
            else:
                self._remove_directory(parent, name, shown)
        except FileNotFoundError:
            pass
        except (OSError, RecursionError) as error:
            self.problems.append(f"{shown}: {error}")

    def _remove_directory(self, parent: int, name: str, shown: str) -> None:
        try:
            directory = os.open(name, _OPEN_FLAGS, dir_fd=parent)
        except PermissionError:
            _make_readable(parent, name)
            directory = os.open(name, _OPEN_FLAGS, dir_fd=parent)
        try:
            if stat.S_IMODE(os.fstat(directory).st_mode) & 0o300 != 0o300:
                os.fchmod(directory, 0o700)
            known = len(self.problems)
            for entry in os.listdir(directory):  # noqa: PTH208 - not a path but a descriptor
                self.remove(directory, entry, f"{shown}/{entry}")
        finally:
            os.close(directory)
        if len(self.problems) == known and not self._is_late:
            # Otherwise it is not empty, and the reason is in the list already.
            os.rmdir(name, dir_fd=parent)


def _make_readable(parent: int, name: str) -> None:
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    # Linux cannot change a mode without following links, but can open what it may not read.
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{handle}").chmod(0o700)
    finally:
        os.close(handle)
