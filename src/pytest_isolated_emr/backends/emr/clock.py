"""Two clocks: one that goes on whatever happens to this machine's, and that of the server that answered."""

from __future__ import annotations

import email.utils
import time
from datetime import datetime, timezone
from typing import Any

# CLOCK_MONOTONIC of Linux stands still while a laptop sleeps, and a lease does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed_clock() -> float:
    """Return seconds of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


def server_time(answer: dict[str, Any]) -> datetime | None:
    """Return what time it was for the server that answered.

    :param answer: as boto3 returns it.
    """
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return email.utils.parsedate_to_datetime(text).astimezone(timezone.utc)
    except ValueError:
        return None
