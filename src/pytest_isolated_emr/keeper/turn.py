"""A session's turn: its keeper waits here until the machine has room for it, and tells its client what for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.lifecycle import admission
from pytest_isolated_emr.lifecycle.admission import Admission, Claim, Ticket
from pytest_isolated_emr.lifecycle.state_root import StateRoot

# So often it looks whether it is its turn, and says what it waits for if that has changed, in seconds.
_LOOK_SECONDS = 0.1
_TELL_SECONDS = 2.0


class Turn:
    """The place of one session in the queue of its state root.

    :param root: the state root.
    :param run_id: the session's.
    """

    def __init__(self, root: StateRoot, run_id: str) -> None:
        self._root = root
        self._run_id = run_id
        self._queue = Admission(root, admission.machine())

    async def come(
        self,
        claim: dict[str, Any],
        cwd: str,
        tell: Callable[[str], Awaitable[None]],
        over: asyncio.Event,
    ) -> None:
        """Wait for it.

        :param claim: what the session takes, and ``seconds``, for how long it waits at most.
        :param cwd: the directory that its client was started in.
        :param tell: is told what it waits for.
        :param over: set once nobody wants the session any more.
        :raises NoRoom: it has waited for as long as it may.
        """
        wanted = Claim(claim["memory"], claim["cores"])
        started, told, last = time.monotonic(), 0.0, ""
        self._queue.enter(Ticket.now(self._run_id, cwd, wanted, admission.WAITS))
        while not self._queue.try_admit():
            await self._end_spares()
            waited = time.monotonic() - started
            text = self._queue.words()
            if waited >= claim["seconds"]:
                raise errors.NoRoom(
                    f"No other run ended in the {waited:.0f} seconds that this one waited for room.",
                    checked=text or "the tickets of the runs on this machine, which were just changing hands",
                    cure="Wait for longer (--isolated-emr-wait), run later, or end what runs (`isolated-emr ps`).",
                )
            if text and text != last and time.monotonic() - told >= _TELL_SECONDS:
                told, last = time.monotonic(), text
                await tell(text)
            try:
                await asyncio.wait_for(over.wait(), _LOOK_SECONDS)
            except asyncio.TimeoutError:
                continue
            return

    def come_as_spare(self, memory: int, cwd: str) -> bool:
        """Take a place that gives way to others; tell whether there is room for it, and nobody waits.

        :param memory: what it takes, in bytes; it computes nothing that anybody waits for.
        :param cwd: the directory that it is for.
        """
        self._queue.enter(Ticket.now(self._run_id, cwd, Claim(memory, 0), admission.IS_SPARE))
        return self._queue.has_room_for_spare()

    def leave(self) -> None:
        """Let the next have it."""
        self._queue.leave()

    async def _end_spares(self) -> None:
        for run_id in self._queue.spares_in_the_way:
            self._queue.disregard(run_id)
            try:
                await asyncio.to_thread(KeeperClient.end_spare, self._root.sessions / run_id)
            except errors.IsolatedEmrError:
                # It has just ended, or is stopped: then it holds what it holds.
                continue
