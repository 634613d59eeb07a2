"""How often AWS is asked, and how long for."""

from __future__ import annotations

from dataclasses import dataclass


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
