"""Removing what is in an open directory, never through a link or into another file system.

``shutil.rmtree`` is not enough: it takes a directory's descriptor only since Python 3.11, stops at what a
test made read-only, and would empty what is mounted below.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

_OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def clear_directory(directory: int, *, spared: Collection[str] = ()) -> list[str]:
    """Remove what is in a directory, going on past failures.

    :param directory: a descriptor of it.
    :param spared: names in it that stay.
    :return: what could not be removed, and why.
    """
    problems: list[str] = []
    device = os.fstat(directory).st_dev
    for name in os.listdir(directory):
        if name not in spared:
            _remove(directory, name, name, device, problems)
    return problems


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


def _remove(parent: int, name: str, shown: str, device: int, problems: list[str]) -> None:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent)
        elif found.st_dev != device:
            problems.append(f"{shown}: another file system is mounted there")
        else:
            _remove_directory(parent, name, shown, device, problems)
    except FileNotFoundError:
        pass
    except (OSError, RecursionError) as error:
        problems.append(f"{shown}: {error}")


def _remove_directory(parent: int, name: str, shown: str, device: int, problems: list[str]) -> None:
    try:
        directory = os.open(name, _OPEN_FLAGS, dir_fd=parent)
    except PermissionError:
        _make_readable(parent, name)
        directory = os.open(name, _OPEN_FLAGS, dir_fd=parent)
    try:
        if stat.S_IMODE(os.fstat(directory).st_mode) & 0o300 != 0o300:
            os.fchmod(directory, 0o700)
        known = len(problems)
        for entry in os.listdir(directory):  # noqa: PTH208 - not a path but a descriptor
            _remove(directory, entry, f"{shown}/{entry}", device, problems)
    finally:
        os.close(directory)
    if len(problems) == known:
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
