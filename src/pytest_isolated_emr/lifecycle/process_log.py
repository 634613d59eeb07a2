"""The log of a process of ours, which goes on where its log cannot: on a disk that is full."""

from __future__ import annotations

import io
import sys
from typing import Any


class _LossyFile(io.FileIO):
    """Passes over what cannot be written."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def log_what_can_be_written() -> None:
    """Have a failure to log something be no failure of what is logged, in this process."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        file = _LossyFile(stream.fileno(), "w", closefd=False)
        # A line at once, so that those of two threads stay whole.
        lines = io.TextIOWrapper(
            io.BufferedWriter(file), stream.encoding, "backslashreplace", line_buffering=True
        )
        setattr(sys, name, lines)
