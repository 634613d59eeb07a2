"""Files and directories that are this user's alone, from their first moment on."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def make_private(directory: Path) -> None:
    """Make a directory that nobody else can enter, and those above it that are missing.

    :param directory: it may exist, whatever it is then.
    :raises OSError: it cannot be made.
    """
    # mkdir(parents=True) leaves the mode of those above to the umask.
    if not directory.parent.exists():
        make_private(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else can read.

    :param path: a new file.
    :param content: what is in it.
    :raises FileExistsError: it is there already.
    """
    with _create(path) as file:
        file.write(content)


def create_anew(path: Path) -> BinaryIO:
    """Return a new file that nobody else can read, in the place of whatever has its name.

    That is not written to: it may be a link to a file of others, or another name of one.

    :param path: where it is to be.
    :raises OSError: it cannot be made.
    """
    path.unlink(missing_ok=True)
    return _create(path)


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def read_private(path: Path, most: int) -> bytes:
    """Read a file of this user's own, never through a link, and without waiting for anything.

    :param path: the file.
    :param most: how many bytes it has at most: more would only be memory.
    :raises FileNotFoundError: there is none.
    :raises OSError: it is a link, no file, another user's, too large, or cannot be read.
    """
    # Without O_NONBLOCK the opening of a pipe waits for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "Not a file", str(path))
        if found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"It belongs to the user {found.st_uid}", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"It has more than {most} bytes", str(path))
    return content
