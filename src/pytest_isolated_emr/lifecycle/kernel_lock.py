"""The kernel's lock on an open file, which goes with whoever holds it."""

from __future__ import annotations

import fcntl


def try_lock(descriptor: int, kind: int) -> bool:
    """Lock an open file, unless somebody's lock is in the way; tell whether it is locked.

    :param descriptor: the file's.
    :param kind: ``fcntl.LOCK_EX``, or ``fcntl.LOCK_SH`` for one that several may have at once.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        # The latter on file systems that do as fcntl does.
        return False
    return True
