"""The token by which EMR lets calls to a session pass. It ends after an hour, and is renewed before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: With less than this left, in seconds, a token is renewed.
RENEW_SECONDS = 300.0
#: With less than this left, in seconds, a call waits for a renewal that another thread has begun.
_PRESSING_SECONDS = 30.0


class EmrToken:
    """The current token of one session, in the session's address. Several threads may ask for it.

    :param url: the address with the first one.
    :param expires: when that ends, in seconds of the unix clock.
    :param renew: gets another one, and returns the same two.
    :param show: takes the address, now and whenever it is another one.
    """

    def __init__(
        self, url: str, expires: float, renew: Callable[[], tuple[str, float]], show: Callable[[str], None]
    ) -> None:
        self._url = url
        self._expires = expires
        self._renew = renew
        self._show = show
        self._is_kept = False
        self._lock = threading.Lock()
        show(url)

    def current(self) -> str:
        """Return the address with a token that holds for a while.

        :raises IsolatedEmrError: there is no other, and this one is near its end.
        """
        left = self._left()
        # With some time left nobody waits for a thread that is about to renew it.
        if left < RENEW_SECONDS and self._lock.acquire(blocking=left < _PRESSING_SECONDS):
            try:
                if self._left() < RENEW_SECONDS and not self._is_kept:
                    self._url, self._expires = self._renew()
                    self._show(self._url)
            finally:
                self._lock.release()
        return self._url

    def keep(self) -> None:
        """Renew it no more: nobody may be asked any longer."""
        with self._lock:
            self._is_kept = True

    def _left(self) -> float:
        return self._expires - time.time()
