"""A directory for a later run's temporary files, made as pytest makes those of its runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from _pytest.pathlib import create_cleanup_lock, make_numbered_dir


class ReservedBasetemp:
    """A directory that no other run takes or removes: it has pytest's lock.

    Where its keeper is killed, pytest's own cleaning removes it, empty as it is, when the lock is three days old.

    :param path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def like(cls, other: Path) -> ReservedBasetemp:
        """Make one beside that of another run.

        :param other: the other run's, ``pytest-N``.
        :raises OSError: it cannot be made.
        """
        path = make_numbered_dir(root=other.parent, prefix="pytest-", mode=0o700)
        create_cleanup_lock(path)
        return cls(path)

    def remove(self) -> None:
        """Remove it, if nobody has put anything into it."""
        with suppress(OSError):
            (self.path / ".lock").unlink()
            self.path.rmdir()
