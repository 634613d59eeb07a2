"""A fresh session for one test over Spark Connect, and the removal of what the test left in the server.

Over Connect it keeps what :mod:`pytest_isolated_emr.spark.isolation` promises. What sessions share is remembered and
removed by commands of ours inside the server (``java/IsolationCommands.java``), one call each.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from typing import Any

from pytest_isolated_emr.spark.connect.fresh_sessions import FreshSessions, close_channel, new_session

_CONNECT_SECONDS = 5.0


class ConnectIsolation(FreshSessions[str]):
    """Gives tests sessions of their own in one Spark Connect server, and removes what they leave there.

    Tables, databases, global views, cached data, RDDs and streams that appear meanwhile are removed at the end; those
    that were there before stay. The context's Hadoop settings are put back.

    :param shared: the Connect session that all tests share. Its server has to be started with
        :data:`pytest_isolated_emr.spark.connect.CONTAINER_SETTINGS`.
    :param settings: what the suite set when it made the first session.
    """

    def remember(self) -> str:
        """Have the server remember what its sessions share, and return by which name.

        :raises OSError: no server listens.
        """
        _require_server(self.shared)
        name = secrets.token_hex(8)
        self._command("mark", name)
        return name

    def restore(self, mark: str, clients: Sequence[Any]) -> None:
        """End the sessions of a test, and remove what it left.

        :param mark: the name.
        :param clients: those of all sessions that were made meanwhile.
        :raises pyspark.errors.PySparkException: the server could not remove something; the rest is removed.
        """
        sessions = [f"{client._session_id} {client._user_id or ''}" for client in clients]
        try:
            _require_server(self.shared)
        except OSError:
            # Nothing is left in a server that has ended.
            for client in clients:
                close_channel(client)
            return
        try:
            self._command("restore", "\n".join([mark, *sessions]))
        finally:
            # After the call: PySpark tells the server in the background that it has read an answer.
            for client in clients:
                client.close()

    def _command(self, kind: str, value: str) -> None:
        # The test may have stopped the shared session.
        session = new_session(self.shared) if self.shared.is_stopped else self.shared
        try:
            execute(session.client, kind, value)
        finally:
            if session is not self.shared:
                stop_session(session)


def execute(client: Any, kind: str, value: str) -> None:
    """Have a server execute one of our commands.

    :param client: of a session.
    :param kind: the command.
    :param value: its value.
    :raises pyspark.errors.PySparkException: it failed.
    """
    from google.protobuf import any_pb2
    from pyspark.sql.connect.proto import Command

    extension = any_pb2.Any(type_url=f"isolatedemr/{kind}", value=value.encode())
    client.execute_command(Command(extension=extension))


def stop_session(session: Any) -> None:
    """Stop a Connect session; if its server has ended, close its client alone.

    Its own ``stop`` would call such a server for ten minutes.

    :param session: the session, running or stopped.
    """
    try:
        _require_server(session)
    except OSError:
        close_channel(session.client)
    else:
        session.stop()


def _require_server(session: Any) -> None:
    """Raise OSError if no server listens where a session's is."""
    host, port = session.client._builder.endpoint.rsplit(":", 1)
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
