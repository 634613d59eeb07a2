"""Copying what is kept for a look, and nothing that it leads to."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path


def copy_plain(source: Path, destination: Path) -> None:
    """Copy a directory. A link stays a link, as what it points to is not ours; pipes, sockets and devices are left out.

    :param source: the directory, or a link that somebody put in its place.
    :param destination: where the copy is to be, which must not exist.
    :raises OSError: not all of it could be copied.
    """
    if source.is_symlink():
        destination.symlink_to(source.readlink())
    else:
        shutil.copytree(source, destination, symlinks=True, ignore=_special)


def _special(directory: str, names: list[str]) -> list[str]:
    # To open a pipe waits for its writer, and a device has no end.
    return [
        name
        for name in names
        if _kind(Path(directory, name)) not in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK)
    ]


def _kind(path: Path) -> int:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        # Gone since it was listed; the others are there.
        return 0
