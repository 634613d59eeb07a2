"""How long the runs of a directory took lately: by it those who wait for room can tell how long that may take."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from pathlib import Path

from pytest_isolated_emr.lifecycle.private_files import create_anew, read_private

# As many directories as anybody works in.
_MOST = 100
_MOST_BYTES = 1 << 20


def read(file: Path) -> dict[str, float]:
    """Return the seconds that the last run of each directory took; none if that cannot be read.

    :param file: where it is kept.
    """
    try:
        found = json.loads(read_private(file, _MOST_BYTES))
        took = {str(cwd): float(seconds) for cwd, seconds in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}
    return took if all(map(math.isfinite, took.values())) else {}


def note(file: Path, cwd: str, seconds: float) -> None:
    """Keep how long a run took. Two at once are no matter: each writes the whole file.

    :param file: where it is kept.
    :param cwd: the run's directory.
    :param seconds: how long it took.
    """
    known = read(file)
    known.pop(cwd, None)
    latest = [*list(known.items())[-_MOST + 1 :], (cwd, round(seconds, 1))]
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    # A hint that cannot be kept, as the disk is full, is none.
    with suppress(OSError):
        with create_anew(draft) as opened:
            opened.write(json.dumps(dict(latest)).encode())
        draft.replace(file)
