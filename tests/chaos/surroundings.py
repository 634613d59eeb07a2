"""What is the matter with a round's machine: disks and clocks."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.place import Place
from tests.chaos.plan import CLOCK, FULL_DISK, READ_ONLY

# Sessions ask for 256 MiB each before they start.
_SMALL = "900m"
_FAKETIMES = re.compile(r"(?:sem\.)?faketime_(?:sem|shm)_(\d+)")


@contextlib.contextmanager
def disk_of(place: Place) -> Iterator[None]:
    """Give the state root a small disk for as long, where the round is about that.

    :param place: the round's place, which is not made yet.
    """
    if not place.is_small:
        yield
        return
    place.home.mkdir(mode=0o700)
    options = f"size={_SMALL},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place.home)], check=True)
    try:
        yield
    finally:
        # What might still have something open there was a violation, and is not to be one of the next round.
        subprocess.run(["umount", "--lazy", str(place.home)], check=True)


@contextlib.contextmanager
def clock_of(place: Place) -> Iterator[None]:
    """Remove afterwards what libfaketime keeps of processes that were killed, where the round is about the clock.

    :param place: the round's place.
    """
    yield
    if place.round.surroundings != CLOCK:
        return
    for path in Path("/dev/shm").iterdir():
        of_process = _FAKETIMES.fullmatch(path.name)
        if of_process and not Path("/proc", of_process[1]).exists():
            path.unlink(missing_ok=True)


def go_wrong(place: Place) -> float | None:
    """Have go wrong what does in this round, and right again; return when it was right, None if nothing was wrong.

    :param place: the round's place.
    """
    begins, lasts = place.round.lasts
    surroundings = place.round.surroundings
    if surroundings == FULL_DISK:
        time.sleep(begins)
        filler = place.home / "filler"
        _fill(filler)
        time.sleep(lasts)
        filler.unlink()
    elif surroundings == READ_ONLY:
        time.sleep(begins)
        closed = _close(place.home)
        time.sleep(lasts)
        for path, mode in closed:
            with contextlib.suppress(FileNotFoundError):
                path.chmod(mode)
    elif surroundings == CLOCK:
        _step_clock(place)
    else:
        return None
    return time.monotonic()


def _fill(path: Path) -> None:
    """Write a file until nothing more fits on its disk."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 24, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def _close(home: Path) -> list[tuple[Path, int]]:
    """Take the right to write from the state root's directories; return what they were."""
    closed = []
    for path in (home, home / "sessions", home / "admission", *(home / "sessions").iterdir()):
        with contextlib.suppress(FileNotFoundError):
            mode = path.stat().st_mode & 0o777
            path.chmod(0o500)
            closed.append((path, mode))
    return closed


def _step_clock(place: Place) -> None:
    begun = time.monotonic()
    for at, by in sorted(place.round.steps):
        time.sleep(max(0.0, begun + at - time.monotonic()))
        new = place.clock.with_suffix(".new")
        new.write_text(f"{by:+d}s")
        os.replace(new, place.clock)
