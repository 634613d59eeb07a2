"""The client's end of the keeper: start one or attach to one, and ask it for things.

The connection is the lifeline. When it closes, for whatever reason, the keeper takes the environment down.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.keeper import messages
from pytest_isolated_emr.keeper.messages import Message
from pytest_isolated_emr.keeper.stray_signals import blocked_signals
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_VARIABLE

_LOG_TAIL = 2000
# A spare answers within milliseconds, and takes half a second to find out that it cannot serve.
_CLAIM_SECONDS = 1.0


class KeeperClient:
    """A connection to a session's keeper.

    Requests are answered in order; several threads may ask. A forked child must not hold the lifeline open, so it
    loses its copy of the connection at once.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection: socket.socket | None = connection
        self._received = b""
        self._last_id = 0
        self._lock = threading.Lock()
        self._log: Path | None = None
        self._early_output: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_owner = False
        os.register_at_fork(after_in_child=self._forget)

    @classmethod
    def launch(cls, environ: Mapping[str, str]) -> KeeperClient:
        """Start a keeper that this process owns, and return at once; :meth:`open` makes the session.

        A keeper whose client goes away before that ends as well.

        :param environ: its environment.
        """
        ours, theirs = socket.socketpair()
        # Until it has a log in the session's directory, what the keeper prints is here. It keeps none of pytest's
        # streams: whoever reads those (`pytest | tee`) must see them end with pytest.
        output = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs, blocked_signals():
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest_isolated_emr.keeper", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                # Inside another session's command, this keeper is not one of that session's processes: it ends by itself.
                env={name: value for name, value in environ.items() if name != RUN_ID_VARIABLE},
            )
        client = cls(ours)
        client._process = process
        client._early_output = output
        return client

    @classmethod
    def claim(
        cls,
        session_directory: Path,
        key: str,
        opening: Mapping[str, Any],
        progress: Callable[[str], None],
    ) -> tuple[KeeperClient, Message] | None:
        """Make a spare the session of this process; None if it cannot be had, and is nobody's to wait for.

        :param session_directory: the spare's.
        :param key: what it has to be.
        :param opening: the same as for :meth:`open`.
        :param progress: the same as for :meth:`open`.
        :raises IsolatedEmrError: it was there for us, and could not become the session.
        """
        try:
            connection = messages.connect(session_directory)
        except OSError:
            return None
        # It may be stopped, or hang; then a keeper of our own is there sooner.
        connection.settimeout(_CLAIM_SECONDS)
        client = cls(connection)
        try:
            is_claimed = client.request("claim", key=key)["is_claimed"]
        except errors.KeeperNotStarted:
            is_claimed = False
        if not is_claimed:
            client.close()
            return None
        # From now on it takes the time that it takes: there may be large buckets to fill.
        connection.settimeout(None)
        try:
            session = client._first("open", opening, progress)
        except errors.KeeperNotStarted:
            # It died at this moment.
            return None
        client._is_owner = True
        return client, session

    @classmethod
    def end_spare(cls, session_directory: Path) -> bool:
        """Have a spare end; tell whether it was one still.

        :param session_directory: the spare's.
        :raises IsolatedEmrError: nobody answers there.
        """
        try:
            connection = messages.connect(session_directory)
        except OSError as error:
            raise _unanswered(session_directory, error) from error
        connection.settimeout(_CLAIM_SECONDS)
        client = cls(connection)
        try:
            return bool(client.request("end_spare")["is_ended"])
        finally:
            client.close()

    @classmethod
    def attach(cls, session_directory: Path, worker: str) -> tuple[KeeperClient, Message]:
        """Connect to the keeper of a session that another process owns.

        :param session_directory: the session's directory.
        :param worker: the name of this process in the session, such as ``gw0``.
        :raises KeeperDied: nobody answers there.
        """
        try:
            connection = messages.connect(session_directory)
        except OSError as error:
            raise _unanswered(session_directory, error) from error
        client = cls(connection)
        return client, client._first("attach", {"worker": worker})

    def open(self, opening: Mapping[str, Any], progress: Callable[[str], None]) -> Message:
        """Have the keeper make the session, and return its description of it.

        :param opening: the fields of the first message, as :class:`~pytest_isolated_emr.keeper.keeper.Keeper` reads
            them.
        :param progress: is told what the keeper waits for, before it makes anything.
        :raises IsolatedEmrError: the keeper could not make the session.
        """
        return self._first("open", opening, progress)

    def request(self, op: str, **fields: Any) -> Message:
        """Ask the keeper for something and wait for its answer.

        :param op: the name of the operation.
        :param fields: its arguments, as JSON has them.
        :raises IsolatedEmrError: the keeper's own error, or :class:`~pytest_isolated_emr.errors.KeeperDied`.
        """
        with self._lock:
            return self._answer(self._ask(op, fields))

    def leave_to_itself(self) -> None:
        """Do not wait for the keeper's end: it has only files to remove."""
        self._is_owner = False
        if self._process is not None:
            # As if it had been waited for, or Python warns of it when this process ends.
            self._process.returncode = 0
            self._process = None

    def close(self) -> None:
        """Let go of the lifeline and, where this process owns the session, wait until its keeper has ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._is_owner:
                _wait_for_end(connection)
            connection.close()
        if self._process is not None:
            self._process.wait()
        if self._early_output is not None:
            self._early_output.close()
            self._early_output = None

    def _ask(self, op: str, fields: Mapping[str, Any]) -> int:
        self._last_id += 1
        self._send({"id": self._last_id, "op": op, **fields})
        return self._last_id

    def _answer(self, message_id: int) -> Message:
        while True:
            reply = self._receive()
            # An older id answers a request that Ctrl-C cut short.
            if reply.get("id") == message_id:
                break
        if "error" in reply:
            raise errors.from_message(reply["error"])
        return reply

    def _first(
        self, op: str, fields: Mapping[str, Any], progress: Callable[[str], None] | None = None
    ) -> Message:
        """Ask for the session's description, before which the keeper may say what it waits for."""
        try:
            with self._lock:
                message_id = self._ask(op, fields)
                while "waits_for" in (session := self._answer(message_id)):
                    if progress is not None:
                        progress(session["waits_for"])
        except errors.IsolatedEmrError:
            self.close()
            raise
        self._log = Path(session["keeper_log"])
        return session

    def _forget(self) -> None:
        """In a forked child: close the copy, which does not end the connection itself as shutdown would."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._process = None
        self._lock = threading.Lock()

    def _send(self, message: Message) -> None:
        if self._connection is None:
            raise errors.KeeperDied(
                "This process has no connection to the session's keeper.",
                checked="the connection is closed, as it is after the run's end and in a forked child",
                cure="Use the environment in the process that pytest started.",
            )
        try:
            self._connection.sendall(messages.encode(message))
        except OSError as error:
            raise self._died(error) from error

    def _receive(self) -> Message:
        assert self._connection is not None
        while b"\n" not in self._received:
            try:
                chunk = self._connection.recv(65536)
            except OSError as error:
                raise self._died(error) from error
            if not chunk:
                raise self._died("the connection was closed")
            self._received += chunk
        line, self._received = self._received.split(b"\n", 1)
        return messages.decode(line)

    def _died(self, reason: object) -> errors.IsolatedEmrError:
        if self._log is None:
            kind: type[errors.IsolatedEmrError] = errors.KeeperNotStarted
            what = "The keeper ended before the environment was ready."
        else:
            kind = errors.KeeperDied
            what = "The keeper, which owns the session's environment, is gone."
        output = self._output_tail()
        return kind(
            what,
            checked=f"{reason}; its last output:\n{output}" if output else f"{reason}; it printed nothing",
            cure="Run again. The next session, or `isolated-emr sweep --delete`, removes what this one left.",
        )

    def _output_tail(self) -> str:
        text = ""
        if self._log is not None and self._log.is_file():
            text = self._log.read_text(errors="replace")
        elif self._early_output is not None:
            self._early_output.seek(0)
            text = self._early_output.read().decode(errors="replace")
        return text.strip()[-_LOG_TAIL:]


def _unanswered(session_directory: Path, error: OSError) -> errors.KeeperDied:
    return errors.KeeperDied(
        "The session's keeper does not answer.",
        checked=f"{session_directory / messages.SOCKET_NAME}: {error}",
        cure="Run again; if it recurs, look at `isolated-emr ps` and the keeper's log.",
    )


def _wait_for_end(connection: socket.socket) -> None:
    """Let go of a lifeline, and wait until the keeper, which is no child of this process, has nothing left to do."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
