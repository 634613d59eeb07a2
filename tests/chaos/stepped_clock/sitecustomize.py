"""Found by each Python of a run whose clock has steps: libfaketime answers ``time.sleep`` with an error since Python 3.11."""

from __future__ import annotations

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep
