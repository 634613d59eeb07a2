"""Inside a keeper and a sweep that are tried: the moment at which the keeper is killed, and shorter pauses between attempts.

It is on PYTHONPATH for them. The variable ISOLATED_EMR_TESTS_KILL is ``NUMBER:before`` or ``NUMBER:after``: the line of
the journal, counted from 1, before or after which the process kills itself.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

_KILL = "ISOLATED_EMR_TESTS_KILL"
#: botocore's pauses are multiplied by it.
_PAUSES = 0.02


def _kill_at(number: int, moment: str) -> None:
    from pytest_isolated_emr.lifecycle.journal import Journal

    write = Journal._write
    lines = 0

    def counted(self: Journal, fields: dict[str, Any], *, sync: bool) -> int:
        nonlocal lines
        lines += 1
        if lines == number and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        written = write(self, fields, sync=sync)
        if lines == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    Journal._write = counted  # type: ignore[method-assign]


def _shorten_pauses() -> None:
    from botocore.retries.standard import ExponentialBackoff

    delay_amount = ExponentialBackoff.delay_amount

    def shortened(self: ExponentialBackoff, context: Any) -> float:
        return float(delay_amount(self, context)) * _PAUSES

    ExponentialBackoff.delay_amount = shortened  # type: ignore[method-assign]


_modules = [argument for argument in sys.orig_argv if argument.startswith("pytest_isolated_emr.")]
if _modules[:1] in (["pytest_isolated_emr.keeper"], ["pytest_isolated_emr.cli"]):
    _shorten_pauses()
if _modules[:1] == ["pytest_isolated_emr.keeper"] and os.environ.get(_KILL):
    _number, _, _moment = os.environ[_KILL].partition(":")
    _kill_at(int(_number), _moment)
