"""The live sessions of this machine: what they are, what they claim, and what they take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import psutil

from pytest_isolated_emr.lifecycle.admission import WAITS, Ticket, tickets
from pytest_isolated_emr.lifecycle.processes import processes_by
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_VARIABLE
from pytest_isolated_emr.lifecycle.session_directory import (
    SessionMetadata,
    is_alive,
    read_metadata,
    session_directories,
)
from pytest_isolated_emr.lifecycle.state_root import StateRoot

#: In place of a session's own state, while it waits for its turn.
WAITING = "waiting"


@dataclass(frozen=True)
class LiveSession:
    """A session at one moment.

    :param metadata: what it says of itself.
    :param ticket: what it claims; None inside of another session, which has claimed.
    :param place: its place among those that wait, from 1 on; None if it does not wait.
    :param memory: of its processes together, in bytes; a page that several share is counted for each.
    :param processor_seconds: that each of its processes, by pid, has used so far.
    """

    metadata: SessionMetadata
    ticket: Ticket | None
    place: int | None
    memory: int
    processor_seconds: Mapping[int, float]

    @property
    def state(self) -> str:
        """What it is now."""
        return self.metadata.state if self.place is None else WAITING

    @property
    def age_seconds(self) -> int:
        """For how long it has been there."""
        return int((datetime.now(timezone.utc) - self.metadata.began).total_seconds())

    def describe(self, cores: float) -> dict[str, Any]:
        """Return what there is to say, as JSON has it.

        :param cores: how many processors it kept busy lately.
        """
        metadata, claim = self.metadata, self.ticket and self.ticket.claim
        return {
            "run_id": metadata.run_id,
            "state": self.state,
            "place": self.place,
            "backend": metadata.backend,
            "keeper_pid": metadata.keeper.pid,
            "age_seconds": self.age_seconds,
            "memory_bytes": self.memory,
            "cores": round(cores, 2),
            "claim": {"memory_bytes": claim.memory, "cores": claim.cores} if claim else None,
            "processes": len(self.processor_seconds),
            "cwd": metadata.cwd,
            "command": metadata.command,
            "started": metadata.started,
        }


class Looks:
    """Looks at the live sessions of a state root, one after the other: between two of them is what each has computed.

    :param root: the state root.
    """

    def __init__(self, root: StateRoot) -> None:
        self._root = root
        self._seen = {session.metadata.run_id: session for session in _live_sessions(root)}
        self._when = time.monotonic()

    def again(self, seconds: float) -> list[dict[str, Any]]:
        """Return the sessions as they are after some time, in the order of their start.

        :param seconds: how long to wait.
        """
        time.sleep(seconds)
        sessions, now = _live_sessions(self._root), time.monotonic()
        described = [session.describe(self._computed(session) / (now - self._when)) for session in sessions]
        self._seen, self._when = {session.metadata.run_id: session for session in sessions}, now
        return described

    def _computed(self, session: LiveSession) -> float:
        before = self._seen.get(session.metadata.run_id)
        known = before.processor_seconds if before is not None else {}
        return sum(max(0.0, used - known.get(pid, 0.0)) for pid, used in session.processor_seconds.items())


def _live_sessions(root: StateRoot) -> list[LiveSession]:
    by_run = {ticket.run_id: ticket for ticket in tickets(root)}
    waiting = [ticket.run_id for ticket in by_run.values() if ticket.state == WAITS]
    processes = processes_by(RUN_ID_VARIABLE)
    sessions = []
    for path in session_directories(root):
        try:
            alive = is_alive(path)
        except OSError:
            # It is just being removed.
            continue
        metadata = read_metadata(path)
        run_id = path.name
        if not alive or metadata is None or metadata.run_id != run_id:
            continue
        pids = [metadata.keeper.pid, *(identity.pid for identity in processes.get(run_id, ()))]
        used = {pid: usage for pid in pids if (usage := _usage(pid)) is not None}
        place = waiting.index(run_id) + 1 if run_id in waiting else None
        memory = sum(memory for memory, _ in used.values())
        seconds = {pid: processor for pid, (_, processor) in used.items()}
        sessions.append(LiveSession(metadata, by_run.get(run_id), place, memory, seconds))
    return sessions


def _usage(pid: int) -> tuple[int, float] | None:
    """Return a process's memory in bytes and its processors' seconds; None if it has ended meanwhile."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return int(process.memory_info().rss), times.user + times.system
    except psutil.Error:
        return None
