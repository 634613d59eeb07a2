"""Waiting for a cluster that was launched."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.termination import ENDED, is_unknown

#: States in which a cluster takes steps and sessions.
READY = frozenset({"WAITING", "RUNNING"})


def await_ready(
    look: Callable[[], dict[str, Any]], pace: Pace, wait: Callable[[float], None]
) -> tuple[dict[str, Any], float]:
    """Return a cluster's status once it takes work, has ended, or has had its time; and how long that took, in seconds.

    :param look: returns the status, as DescribeCluster has it.
    :param pace: how often to look, and for how long.
    :param wait: waits for so many seconds.
    :raises AwsUnreachable: AWS did not answer to the last look.
    :raises IsolatedEmrError: AWS refuses to tell.
    """
    began, pause = time.monotonic(), pace.poll
    while True:
        waited = time.monotonic() - began
        try:
            status = look()
        except errors.AwsUnreachable:
            if waited >= pace.start:
                raise
        except errors.AwsRefused as error:
            # AWS may not know it yet.
            if not is_unknown(error) or waited >= pace.settle:
                raise
        else:
            if status["State"] in READY | ENDED or waited >= pace.start:
                return status, waited
        wait(pause)
        pause = pace.longer(pause)


def reasons_of(status: dict[str, Any]) -> str:
    """Return in AWS's words why a cluster is in its state.

    :param status: as DescribeCluster has it.
    """
    reason = status.get("StateChangeReason", {})
    details = [
        f"{each.get('ErrorCode', '')}: {each.get('ErrorMessage', '')}"
        for each in status.get("ErrorDetails") or ()
    ]
    why = f"{status['State']}: {reason.get('Code', 'no code')}: {reason.get('Message') or 'no more words'}"
    return "; ".join([why, *details])
