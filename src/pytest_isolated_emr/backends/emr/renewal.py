"""Keeping a session's place its own: the lease is renewed as long as the session lasts, and its loss is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.place import Place


class Renewal:
    """Renews a place, from its making on.

    :param place: the session's.
    :param pace: how often.
    :param on_loss: is called once, when others may take the session for dead.
    """

    def __init__(self, place: Place, pace: Pace, on_loss: Callable[[], None]) -> None:
        self._place = place
        self._pace = pace
        self._on_loss = on_loss
        self._loss: errors.LeaseLapsed | None = None
        # Of its own: what waits for AWS for minutes holds the threads that all share.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lease")
        self._task = asyncio.create_task(self._renew())

    def check(self) -> None:
        """See that the place is the session's still.

        :raises LeaseLapsed: it is not, so that the session has to stop.
        """
        if self._loss is None and self._place.has_lapsed:
            # Noticed before the next renewal: the machine slept, say.
            self._lose(f"{self._place.uri}: the lease was not renewed in time, by this machine's clock")
        if self._loss is not None:
            raise self._loss

    async def end(self) -> None:
        """Renew no more, and wait for the renewal that is under way: a place is used by one thread at a time."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await asyncio.to_thread(self._thread.shutdown)

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        while self._loss is None:
            await asyncio.sleep(self._pace.renew)
            renewing = loop.run_in_executor(self._thread, self._place.renew)
            while not renewing.done() and self._loss is None:
                # AWS may not answer for longer than a lease lasts.
                await asyncio.wait([renewing], timeout=self._pace.renew)
                with contextlib.suppress(errors.LeaseLapsed):
                    self.check()
            if not renewing.done():
                return
            try:
                renewing.result()
            except errors.LeaseLapsed as error:
                self._lose(f"{error.what} {error.checked}")
            except Exception:  # noqa: BLE001 - whatever it was, the next one may succeed; the log has it
                traceback.print_exc()

    def _lose(self, checked: str) -> None:
        if self._loss is None:
            self._loss = errors.LeaseLapsed(
                "The session has lost its lease, and with it the right to its cluster and prefix.",
                checked=checked,
                cure="Run again. A machine that slept or was cut off from AWS for long loses its lease.",
            )
            self._on_loss()
