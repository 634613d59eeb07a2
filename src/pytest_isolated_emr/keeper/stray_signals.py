"""Signals that do not end a keeper: whoever wants the session to end ends pytest."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

# Sent to a whole group of processes, say. They must not stop the cleaning.
_STRAY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Have a keeper that is started meanwhile get none of them before it can pass them over.

    The mask is inherited by what this thread starts; whatever arrives for this process itself is there afterwards.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STRAY)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def pass_over_signals() -> None:
    """In a keeper: let them come, and have no effect."""
    for number in _STRAY:
        # Not SIG_IGN, which what the keeper starts would inherit: no step could be cancelled.
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STRAY)
