"""How often AWS is asked, and how long for."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

#: Names other times, as a JSON object of the fields of :class:`Pace`: the project's own tests are quicker by it.
PACE_VARIABLE = "ISOLATED_EMR_PACE"


@dataclass(frozen=True)
class Pace:
    """Times in seconds.

    :param poll: between two looks at a cluster's state, at first; it doubles up to ``longest_poll``.
    :param longest_poll: between two looks at something that takes long.
    :param settle: how long ListClusters may not know yet of a cluster that was made.
    :param lease: how long a lease lasts that is not renewed.
    :param renew: between two renewals.
    :param start: how long a cluster may take until it waits for work.
    :param end: how long a cluster may take until it has ended.
    :param session: how long a Spark Connect session may take until it answers.
    :param logs: how long a log of a step may take until it is on S3, where EMR puts it every 5 minutes.
    :param reports: how long the reports of failed tests may wait for logs, all those of a process together.
    """

    poll: float = 1.0
    longest_poll: float = 15.0
    settle: float = 60.0
    lease: float = 900.0
    renew: float = 60.0
    start: float = 1800.0
    end: float = 1200.0
    session: float = 300.0
    logs: float = 360.0
    reports: float = 900.0

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] = os.environ) -> Pace:
        """Return the times that the environment names, and else the usual ones.

        :param environ: the environment.
        """
        return cls(**json.loads(environ.get(PACE_VARIABLE, "{}")))

    def longer(self, pause: float) -> float:
        """Return the pause after a pause.

        :param pause: in seconds.
        """
        return min(pause * 2, self.longest_poll)


class Stopped(Exception):
    """Nobody waits any more for what was being waited for: the session ends."""


class Stop:
    """Cuts off what waits for AWS in other threads, when the session ends."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Cut all waits off, those to come as well."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait.

        :param seconds: for so long.
        :raises Stopped: the session ends.
        """
        if self._event.wait(seconds):
            raise Stopped
