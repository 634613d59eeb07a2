"""Archives of classes as files: named by what they are for and by the state of that, put into place whole, and made in the
background by a process of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.lifecycle.private_files import create_anew, make_private

# What making one needs of memory, with room for whoever else is at work.
_BYTES = 2 << 30

# What failed is not tried again after every run.
_SECONDS_UNTIL_NEXT_TRY = 24 * 3600


def name_of(place: Iterable[object], state: Iterable[object]) -> str:
    """Return an archive's name.

    :param place: what it is for; of the same place there is one archive.
    :param state: what changes there, so that another archive is needed.
    """
    parts = (hashlib.sha256("\0".join(map(str, what)).encode()).hexdigest()[:16] for what in (place, state))
    return "{}-{}.jsa".format(*parts)


def publish(made: Path, path: Path) -> None:
    """Put an archive where it is looked for, in the place of those that do not fit any more.

    :param made: the archive, on the same file system.
    :param path: where it is looked for, with a name of :func:`name_of`.
    """
    # After a power cut, a name without its content would be worse than none.
    with made.open("rb") as file:
        os.fsync(file)
    made.replace(path)
    place = path.name.partition("-")[0]
    for other in path.parent.glob(f"{place}-*.jsa"):
        if other != path:
            # A JVM that uses it keeps it to its end.
            other.unlink(missing_ok=True)


def make_in_background(
    arguments: Sequence[str], archive: Path, lock: Path, environ: Mapping[str, str]
) -> bool:
    """Start ``isolated-emr fetch``, which makes an archive after this process has ended; tell whether it was.

    It yields to whatever else wants a processor. It is not started where it would be short of memory, where
    another process is making the same archive, or where it failed within a day.

    :param arguments: of ``fetch``.
    :param archive: what is to be made. The log of its making is beside it, so that what failed for one state does not
        keep the archive of another from being made.
    :param lock: the file that whoever makes it locks.
    :param environ: the user's own environment, in which Java and Spark are found.
    :raises OSError: it cannot be started.
    """
    import filelock

    from pytest_isolated_emr.lifecycle.memory import available_memory

    log = archive.with_suffix(".log")
    if available_memory() < _BYTES or _is_recent(log):
        return False
    make_private(archive.parent)
    try:
        with filelock.FileLock(lock, timeout=0):
            pass
    except filelock.Timeout:
        return False
    # The shell leaves it to init: this process need not wait for its end.
    command = ["nice", "-n", "19", sys.executable, "-m", "pytest_isolated_emr.cli", "fetch", *arguments]
    with create_anew(log) as output:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            check=True,
        )
    return True


def _is_recent(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _SECONDS_UNTIL_NEXT_TRY
    except FileNotFoundError:
        return False
