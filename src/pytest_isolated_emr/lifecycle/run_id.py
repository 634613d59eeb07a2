"""The name of a session: unique, and sorted by the time at which the session started."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timezone

#: The environment variable that the keeper sets to its run id for all that it starts. It finds what the
#: journal could not name: a process whose start was intended when the keeper was killed, and orphans.
RUN_ID_VARIABLE = "ISOLATED_EMR_PROCESS_OF"

#: How many characters a new run id has.
RUN_ID_WIDTH = 22

_TIME_FORMAT = "%Y%m%dt%H%M%S"
# ASCII digits only, and the whole text: a run id becomes a part of paths, bucket names and tags.
_RUN_ID = re.compile(r"([0-9]{8}t[0-9]{6})-[0-9a-f]{6,16}")


def new_run_id() -> str:
    """Return a run id that was never given before, e.g. ``20261123t211623-9f3c2a``."""
    return f"{datetime.now(timezone.utc):{_TIME_FORMAT}}-{secrets.token_hex(3)}"


def is_run_id(text: str) -> bool:
    """Tell whether a text is a well-formed run id, and so safe as a part of a path.

    :param text: what a user, a file name or a message gave.
    """
    try:
        started_at(text)
    except ValueError:
        return False
    return True


def started_at(run_id: str) -> datetime:
    """Return when the session of a run id started, in UTC.

    :param run_id: the run id.
    :raises ValueError: if the text is no run id.
    """
    match = _RUN_ID.fullmatch(run_id)
    if match is None:
        raise ValueError(f"not a run id: {run_id!r}")
    return datetime.strptime(match.group(1), _TIME_FORMAT).replace(tzinfo=timezone.utc)
