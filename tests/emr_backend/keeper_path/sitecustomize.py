"""Inside a keeper and a sweep that are tried: the moment at which the keeper is killed, and shorter pauses between attempts.

It is on PYTHONPATH for them. The variable ISOLATED_EMR_TESTS_KILL is ``NUMBER:before`` or ``NUMBER:after``: the line of
the journal, counted from 1, before or after which the process kills itself. ISOLATED_EMR_TESTS_LINES names a file for the
number of the last line.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

#: botocore's pauses are multiplied by it.
_PAUSES = 0.02


def _watch_journal(kill_at: str, count_in: str) -> None:
    from pytest_isolated_emr.lifecycle.journal import Journal

    write = Journal._write
    lines = 0

    def kill(moment: str) -> None:
        if kill_at == f"{lines}:{moment}":
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(self: Journal, fields: dict[str, Any], *, sync: bool) -> int:
        nonlocal lines
        lines += 1
        kill("before")
        written = write(self, fields, sync=sync)
        kill("after")
        Path(count_in).write_text(str(lines))
        return written

    Journal._write = watched  # type: ignore[method-assign]


def _shorten_pauses() -> None:
    from botocore.retries.standard import ExponentialBackoff

    delay_amount = ExponentialBackoff.delay_amount

    def shortened(self: ExponentialBackoff, context: Any) -> float:
        return float(delay_amount(self, context)) * _PAUSES

    ExponentialBackoff.delay_amount = shortened  # type: ignore[method-assign]


_modules = [argument for argument in sys.orig_argv if argument.startswith("pytest_isolated_emr.")]
if _modules[:1] in (["pytest_isolated_emr.keeper"], ["pytest_isolated_emr.cli"]):
    _shorten_pauses()
if _modules[:1] == ["pytest_isolated_emr.keeper"] and "ISOLATED_EMR_TESTS_LINES" in os.environ:
    _watch_journal(os.environ.get("ISOLATED_EMR_TESTS_KILL", ""), os.environ["ISOLATED_EMR_TESTS_LINES"])
