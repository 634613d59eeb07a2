"""The part of the bench, and how far it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.growth import admission, files, sessions, tests
from benchmarks.modes import Mode

SESSIONS, TESTS, FILES, ADMISSION = "sessions", "tests", "files", "admission"

# More rounds of what takes minutes say no more.
_MOST_ROUNDS = 3


@dataclass(frozen=True)
class Sizes:
    """How far it goes.

    :param sessions: numbers of sessions at once.
    :param tests: numbers of tests in a session, by their kind.
    :param files: numbers of files that a test leaves.
    """

    sessions: Sequence[int]
    tests: tests.Counts
    files: Sequence[int]


FULL = Sizes(
    (1, 2, 4, 8, 16),
    {tests.SCRATCH: (10, 100, 1_000, 5_000), tests.SPARK: (10, 100, 1_000)},
    (100, 1_000, 10_000, 100_000),
)
#: To see that it works, in two minutes.
TRIAL = Sizes((1, 2), {tests.SCRATCH: (10, 100), tests.SPARK: (10, 100)}, (100, 1_000))


def measure(mode: Mode, rounds: int, queue: Path, sizes: Sizes = FULL) -> dict[str, Any]:
    """Return the figures of each of it.

    :param mode: a way of ours that leaves no spares.
    :param rounds: how often.
    :param queue: an empty directory, for a state root of admission's own.
    :param sizes: how far it goes.
    """
    few = min(rounds, _MOST_ROUNDS)
    return {
        ADMISSION: admission.measure(queue),
        SESSIONS: sessions.measure(mode, rounds, sizes.sessions),
        FILES: files.measure(mode, few, sizes.files),
        TESTS: tests.measure(mode, few, sizes.tests),
    }
