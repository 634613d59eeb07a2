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
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE, StateRoot

# So often it looks whether it is its turn, says what it waits for if that has changed, and says it again, in seconds.
_LOOK_SECONDS = 0.1
_TELL_SECONDS = 2.0
_REMIND_SECONDS = 30.0


class Turn:
    """The place of one session in the queue of its state root.

    :param root: the state root.
    :param run_id: the session's.
    """

    def __init__(self, root: StateRoot, run_id: str) -> None:
        self._root = root
        self._run_id = run_id
        self._queue = Admission(root, admission.machine())
        self._is_in_queue = False

    async def come(
        self,
        claim: dict[str, Any],
        cwd: str,
        tell: Callable[[str], Awaitable[None]],
        is_over: Callable[[], bool],
    ) -> bool:
        """Wait for it; tell whether it has come, as nobody may want the session any more.

        :param claim: what the session takes, and ``seconds``, for how long it waits at most.
        :param cwd: the directory that its client was started in.
        :param tell: is told what it waits for.
        :param is_over: tells whether nobody wants the session any more.
        :raises NoRoom: it has waited for as long as it may.
        :raises StateRootUnusable: the queue cannot be written.
        """
        ticket = Ticket.now(self._run_id, cwd, Claim(claim["memory"], claim["cores"]), admission.WAITS)
        started = time.monotonic()
        told, last = started - _TELL_SECONDS, ""
        while not self._has_come(ticket):
            await self._end_spares()
            now = time.monotonic()
            if now - started >= claim["seconds"]:
                raise errors.NoRoom(
                    f"No other run ended in the {now - started:.0f} seconds that this one waited for room.",
                    checked=self._words(),
                    cure="Wait for longer (--isolated-emr-wait), run later, or end what runs (`isolated-emr ps`).",
                )
            if now - told >= _TELL_SECONDS:
                # Between two runs there is a moment in which nobody can be seen.
                text = self._queue.words() if self._is_in_queue else self._words()
                if text and (text != last or now - told >= _REMIND_SECONDS):
                    told, last = now, text
                    await tell(text + self._queue.forecast())
            await asyncio.sleep(_LOOK_SECONDS)
            if is_over():
                return False
        return True

    def come_as_spare(self, memory: int, cwd: str) -> bool:
        """Take a place that gives way to others; tell whether there is room for it, and nobody waits.

        :param memory: what it takes, in bytes; it computes nothing that anybody waits for.
        :param cwd: the directory that it is for.
        """
        ticket = Ticket.now(self._run_id, cwd, Claim(memory, 0), admission.IS_SPARE)
        return self._queue.enter(ticket) and self._queue.has_room_for_spare()

    def leave(self) -> None:
        """Let the next have it."""
        self._queue.leave()

    def _has_come(self, ticket: Ticket) -> bool:
        try:
            if not self._is_in_queue:
                self._is_in_queue = self._queue.enter(ticket)
            return self._is_in_queue and self._queue.try_admit()
        except OSError as error:
            raise errors.StateRootUnusable(
                f"The queue of runs in {self._root.admission} cannot be written: {error.strerror}.",
                checked=f"the file of this run's place: {error}",
                cure=f"Make the directory writable and its disk not full, or set {HOME_VARIABLE} to another one.",
            ) from error

    def _words(self) -> str:
        return self._queue.words() or (
            f"waiting for room: no run that has it can be seen in {self._root.admission}, which changes just now or is locked by a "
            "process that is stopped"
        )

    async def _end_spares(self) -> None:
        for run_id in self._queue.spares_in_the_way:
            self._queue.disregard(run_id)
            try:
                await asyncio.to_thread(KeeperClient.end_spare, self._root.sessions / run_id)
            except errors.IsolatedEmrError:
                # It has just ended, or is stopped: then it holds what it holds.
                continue
