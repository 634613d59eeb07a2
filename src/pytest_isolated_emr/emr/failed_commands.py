"""Which commands of a session's clusters failed lately, by what their logs on this machine say: whoever reads does not
need the endpoint, nor to know regions and accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_ENDED = re.compile(r"^(\S+)Z WARN (?:Step|Bootstrap action) failed with exitCode (\d+)", re.MULTILINE)
#: How far the times of files may be behind, in seconds; those in the logs are exact.
_SLACK = 1.0


@dataclass(frozen=True)
class FailedCommand:
    """A step or a bootstrap action that failed.

    :param cluster_id: its cluster.
    :param name: the step's id, or ``bootstrap action 1``.
    :param is_step: whether it is a step.
    :param exit_code: as a shell has it.
    :param logs: the directory of its logs.
    """

    cluster_id: str
    name: str
    is_step: bool
    exit_code: int
    logs: Path


def failed_since(session_directory: Path, moment: float) -> Iterator[FailedCommand]:
    """Return the commands that ended with a failure, or were ended, since a moment.

    :param session_directory: the session's.
    :param moment: in seconds since the epoch.
    """
    for controller in sorted(session_directory.glob("clusters/j-*/logs/*/**/controller")):
        if controller.stat().st_mtime < moment - _SLACK:
            continue
        ended = _ENDED.search(controller.read_text(encoding="utf-8", errors="replace"))
        if ended and datetime.fromisoformat(f"{ended[1]}+00:00").timestamp() >= moment:
            logs = controller.parent
            # clusters/ID/logs/steps/ID/controller, or clusters/ID/logs/node/…
            cluster_id, _, kind = controller.relative_to(session_directory / "clusters").parts[:3]
            is_step = kind == "steps"
            name = logs.name if is_step else f"bootstrap action {logs.name}"
            yield FailedCommand(cluster_id, name, is_step, int(ended[2]), logs)
