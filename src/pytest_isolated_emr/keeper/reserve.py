"""Descriptors that the end of a session will need, taken at its start."""

from __future__ import annotations

import os

# The removal of a directory tree has one open for each level, and one to list it with.
_COUNT = 10


class Reserve:
    """Keeps descriptors from everything else until they are given back.

    Where the limit of open files leaves none for the end, the session does not start, in place of leaving what it made.

    :raises OSError: there are too few.
    """

    def __init__(self) -> None:
        self._descriptors: list[int] = []
        try:
            for _ in range(_COUNT):
                self._descriptors.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Let the end have them."""
        while self._descriptors:
            os.close(self._descriptors.pop())
