"""The place where a spare is found: one for each key, taken by the kernel's lock of the keeper that is the spare.

Its file has the run id of the spare, once that can be claimed. What a dead keeper left in it names nobody: who tries to
claim that finds no one there, and the next spare of the key writes its own over it.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

from pytest_isolated_emr.errors import StateRootUnusable
from pytest_isolated_emr.lifecycle.run_id import is_run_id
from pytest_isolated_emr.lifecycle.state_root import StateRoot

_KEY = re.compile("[0-9a-f]{32}")
# A run id has some twenty bytes.
_MOST_BYTES = 256


class SpareSlot:
    """The place of the spares of one key.

    :param root: the state root.
    :param key: of :func:`pytest_isolated_emr.spare_key.spare_key`.
    """

    def __init__(self, root: StateRoot, key: str) -> None:
        self._root = root
        self._path = root.spares / key
        self._file: int | None = None

    @property
    def log(self) -> Path:
        """The file that says why a spare of this key could not be made."""
        return self._path.with_suffix(".log")

    def take(self) -> bool:
        """Take the place for this process, until it ends; tell whether it was free.

        :raises StateRootUnusable: the directory may be another's.
        :raises OSError: the directory cannot be written.
        """
        self._root.check_spares()
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            if os.fstat(file).st_nlink > 1:
                # Another name of somebody's file, which is not to be written to.
                self._path.unlink(missing_ok=True)
            elif self._is_named(file):
                break
            # Its holder gave it up between the opening and the locking.
            os.close(file)
        os.ftruncate(file, 0)
        self._file = file
        return True

    def offer(self, run_id: str) -> None:
        """Let a session of this key find the spare.

        :param run_id: the spare's.
        """
        assert self._file is not None
        os.pwrite(self._file, run_id.encode(), 0)

    def is_held(self) -> bool:
        """Tell whether the place is this process's still: it is not if somebody has removed its file."""
        return self._file is not None and self._is_named(self._file)

    def give_up(self) -> None:
        """Make room for the next spare."""
        file, self._file = self._file, None
        if file is None:
            return
        if self._is_named(file):
            with suppress(FileNotFoundError):
                self._path.unlink()
        os.close(file)

    def _is_named(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self._path.lstat())
        except FileNotFoundError:
            return False


def offered(root: StateRoot, key: str) -> str:
    """Return the run id of the spare of a key; empty if there is none that is ready.

    :param root: the state root.
    :param key: the key.
    """
    try:
        root.check_spares()
        file = os.open(root.spares / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            run_id = os.read(file, _MOST_BYTES).decode(errors="replace")
        finally:
            os.close(file)
    except (OSError, StateRootUnusable):
        # There is none, or what is there is no file, or not this user's.
        return ""
    return run_id if is_run_id(run_id) else ""


def remove_dead(root: StateRoot) -> None:
    """Remove the places of spares that are gone, whose keepers did not come to give them up.

    :param root: the state root.
    :raises OSError: the directory cannot be written.
    """
    try:
        root.check_spares()
    except StateRootUnusable:
        return
    for path in list(root.spares.iterdir()) if root.spares.is_dir() else ():
        slot = SpareSlot(root, path.name)
        if _KEY.fullmatch(path.name) and path.is_file() and not path.is_symlink() and slot.take():
            slot.give_up()
