"""Sees to it that the engine has the session's image, once for all that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.docker.engine import Engine
from pytest_isolated_emr.backends.docker.images import Image, Pull

# How often those who wait hear how far a pull is.
_PROGRESS_SECONDS = 1.0


class ImageSupply:
    """The image of a session, and its pull where the engine does not have it.

    :param name: the image.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._image: Image | None = None
        self._pull: Pull | None = None
        self._pulled: asyncio.Future[None] | None = None
        self._lock = asyncio.Lock()

    async def waits_for(self, engine: Engine) -> str:
        """Return how far the pull is, a second later; empty when the image is there.

        :param engine: which has to have it.
        :raises ImageUnavailable: it cannot be had.
        """
        # Several xdist workers ask at once.
        async with self._lock:
            if self._image is None and self._pull is None:
                self._image = await asyncio.to_thread(Image.find, engine, self._name)
            if self._image is None and self._pull is None:
                self._start_pull(engine)
        if self._pull is None or self._pulled is None:
            return ""
        await asyncio.wait([self._pulled], timeout=_PROGRESS_SECONDS)
        if not self._pulled.done():
            return self._pull.progress
        await self._pulled
        self._image = await asyncio.to_thread(Image.find, engine, self._name)
        if self._image is None:
            raise errors.ImageUnavailable(
                f"The image {self._name} was pulled, and is not here.",
                checked="the engine's images",
                cure="See who removes images on this engine, and run again.",
            )
        return ""

    async def image(self, engine: Engine) -> Image:
        """Return the image, when it is there.

        :param engine: which has to have it.
        :raises ImageUnavailable: it cannot be had.
        """
        while self._image is None:
            await self.waits_for(engine)
        return self._image

    def _start_pull(self, engine: Engine) -> None:
        loop = asyncio.get_running_loop()
        pull = self._pull = Pull(engine, self._name)
        pulled = self._pulled = loop.create_future()
        # Nobody may wait for it any more; then its failure is nobody's either.
        pulled.add_done_callback(lambda future: future.cancelled() or future.exception())

        def tell(error: Exception | None) -> None:
            if pulled.done():
                return
            if error is None:
                pulled.set_result(None)
            else:
                pulled.set_exception(error)

        def run() -> None:
            error: Exception | None = None
            try:
                pull.run()
            except Exception as failure:  # noqa: BLE001 - whoever waits raises it
                error = failure
            # The session may be over.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, error)

        # Not one of asyncio's threads, which the keeper would wait for at its end: a pull may take minutes, and the engine
        # gives it up when its connection is closed.
        threading.Thread(target=run, daemon=True, name="pull").start()
