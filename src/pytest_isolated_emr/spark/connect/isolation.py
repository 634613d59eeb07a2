"""A fresh session for one test over Spark Connect, and the removal of what the test left in the server.

Over Connect it keeps what :mod:`pytest_isolated_emr.spark.isolation` promises. What sessions share is remembered and
removed by commands of ours inside the server (``java/IsolationCommands.java``), one call each.
"""

from __future__ import annotations

import functools
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

_CONNECT_SECONDS = 5.0


class ConnectIsolation:
    """Gives tests sessions of their own in one Spark Connect server, and removes what they leave there.

    :param shared: the Connect session that all tests share. Its server has to be started with
        :data:`pytest_isolated_emr.spark.connect.CONTAINER_SETTINGS`.
    :param settings: what the suite set when it made the first session. Without Connect they would be the context's, and
        hold for all sessions.
    """

    def __init__(self, shared: Any, settings: Mapping[str, str]) -> None:
        self.shared = shared
        self._settings = dict(settings)

    @contextmanager
    def fresh_session(self) -> Iterator[Any]:
        """Give a test a session of its own; everywhere in this thread it is the current one.

        Its settings, temporary views, functions and current database are new. Tables, databases, global views,
        cached data, RDDs and streams that appear meanwhile are removed at the end; those that were there before
        stay. The context's Hadoop settings are put back. The session ends, and so do others that are made meanwhile:
        one that is left can hang Python's exit.

        :raises OSError: no server listens.
        :raises pyspark.errors.PySparkException: the server could not remove something; the rest is removed.
        """
        _require_server(self.shared)
        name = secrets.token_hex(8)
        self._command("mark", name)
        previous = _current(self.shared)
        with _clients_made() as clients:
            session = _new_session(self.shared)
            _make_current(session, session)
            try:
                for key, value in self._settings.items():
                    session.conf.set(key, value)
                yield session
            finally:
                try:
                    self._restore(name, clients)
                finally:
                    _make_current(*(None if each is None or each.is_stopped else each for each in previous))

    def _restore(self, name: str, clients: Sequence[Any]) -> None:
        sessions = [f"{client._session_id} {client._user_id or ''}" for client in clients]
        try:
            _require_server(self.shared)
        except OSError:
            # Nothing is left in a server that has ended.
            for client in clients:
                _close_channel(client)
            return
        try:
            self._command("restore", "\n".join([name, *sessions]))
        finally:
            # After the call: PySpark tells the server in the background that it has read an answer.
            for client in clients:
                client.close()

    def _command(self, kind: str, value: str) -> None:
        from google.protobuf import any_pb2
        from pyspark.sql.connect.proto import Command

        extension = any_pb2.Any(type_url=f"isolatedemr/{kind}", value=value.encode())
        # The test may have stopped the shared session.
        session = _new_session(self.shared) if self.shared.is_stopped else self.shared
        try:
            session.client.execute_command(Command(extension=extension))
        finally:
            if session is not self.shared:
                stop_session(session)


def stop_session(session: Any) -> None:
    """Stop a Connect session; if its server has ended, close its client alone.

    Its own ``stop`` would call such a server for ten minutes.

    :param session: the session, running or stopped.
    """
    try:
        _require_server(session)
    except OSError:
        _close_channel(session.client)
    else:
        session.stop()


def _close_channel(client: Any) -> None:
    """Close a client without waiting for calls in the background, which may be tried anew for minutes."""
    client._channel.close()
    client._closed = True


def _new_session(shared: Any) -> Any:
    """Return another session of the same server, with nothing of the given one's but how its calls are made."""
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
            client.close = functools.partial(_close_channel, client)

    SparkConnectClient.__init__ = make_and_note
    try:
        yield made
    finally:
        SparkConnectClient.__init__ = make


def _require_server(session: Any) -> None:
    """Raise OSError if no server listens where a session's is."""
    host, port = session.client._builder.endpoint.rsplit(":", 1)
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


def _current(session: Any) -> tuple[Any, Any]:
    """Return the session that is the default, and the one that is active in this thread."""
    kind = type(session)
    return kind._default_session, getattr(kind._active_session, "session", None)


def _make_current(default: Any, active: Any) -> None:
    from pyspark.sql.connect.session import SparkSession

    SparkSession._default_session = default
    SparkSession._active_session.session = active
