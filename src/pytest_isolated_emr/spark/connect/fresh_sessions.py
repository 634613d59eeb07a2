"""A fresh session for one test beside a shared one, over Spark Connect; what the test leaves is another matter."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Mark = TypeVar("Mark")


class FreshSessions(ABC, Generic[Mark]):
    """Gives tests sessions of their own in one Spark Connect server.

    :param shared: the Connect session that all tests share.
    :param settings: what the suite set when it made the first session. Without Connect they would be the context's, and
        hold for all sessions.
    """

    def __init__(self, shared: Any, settings: Mapping[str, str]) -> None:
        self.shared = shared
        self._settings = dict(settings)

    @contextmanager
    def fresh_session(self) -> Iterator[Any]:
        """Give a test a session of its own; everywhere in this thread it is the current one.

        Its settings, temporary views, functions and current database are new. The session ends, and so do others that
        are made meanwhile: one that is left can hang Python's exit.
        """
        mark = self.remember()
        previous = _current(self.shared)
        with _clients_made() as clients:
            session = new_session(self.shared)
            _make_current(session, session)
            try:
                self._set_up(session)
                yield session
            finally:
                try:
                    self.restore(mark, clients)
                finally:
                    _make_current(*(None if each is None or each.is_stopped else each for each in previous))

    @abstractmethod
    def remember(self) -> Mark:
        """Return what is needed to know later what the test left."""

    @abstractmethod
    def restore(self, mark: Mark, clients: Sequence[Any]) -> None:
        """End the sessions of a test, and remove what it left.

        :param mark: what :meth:`remember` gave.
        :param clients: those of all sessions that were made meanwhile.
        """

    def _set_up(self, session: Any) -> None:
        if not self._settings:
            return
        if hasattr(session.conf, "_set_all"):
            # One call for all of them.
            session.conf._set_all(configs=self._settings, silent=False)
        else:
            # pyspark 3.5
            for key, value in self._settings.items():
                session.conf.set(key, value)


def close_channel(client: Any) -> None:
    """Close a client without waiting for calls in the background, which may be tried anew for minutes.

    :param client: a Connect session's.
    """
    client._channel.close()
    client._closed = True


def new_session(shared: Any) -> Any:
    """Return another session of the same server, with nothing of the given one's but how its calls are made.

    :param shared: a Connect session, running or stopped.
    """
    if hasattr(type(shared), "newSession"):
        session = shared.newSession()
    else:
        session = type(shared)(connection=shared.client._builder, userId=shared.client._user_id)
    if hasattr(shared.client, "get_retry_policies"):
        session.client.set_retry_policies(shared.client.get_retry_policies())
    else:
        session.client._retry_policy = dict(shared.client._retry_policy)
    return session


@contextmanager
def _clients_made() -> Iterator[list[Any]]:
    """Collect the clients of all Connect sessions that are made meanwhile."""
    from pyspark.sql.connect.client import SparkConnectClient

    make = SparkConnectClient.__init__
    made: list[Any] = []

    @functools.wraps(make)
    def make_and_note(client: Any, *args: Any, **kwargs: Any) -> None:
        make(client, *args, **kwargs)
        made.append(client)
        if not hasattr(client, "release_session"):
            # Spark 3.5's own waits for the background threads of all clients to end. Garbage collection calls it too;
            # in one of those threads it waits for itself, for ever.
            client.close = functools.partial(close_channel, client)

    SparkConnectClient.__init__ = make_and_note
    try:
        yield made
    finally:
        SparkConnectClient.__init__ = make


def _current(session: Any) -> tuple[Any, Any]:
    """Return the session that is the default, and the one that is active in this thread."""
    kind = type(session)
    return kind._default_session, getattr(kind._active_session, "session", None)


def _make_current(default: Any, active: Any) -> None:
    from pyspark.sql.connect.session import SparkSession

    SparkSession._default_session = default
    SparkSession._active_session.session = active
