"""The private endpoint's end of the keeper: many requests at once over one connection."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.keeper import messages
from pytest_isolated_emr.keeper.messages import ENDPOINT, Message


class ConcurrentKeeperClient:
    """A connection to a session's keeper over which several threads wait for answers at once.

    :param session_directory: the session's directory.
    :raises KeeperDied: nobody answers there.
    """

    def __init__(self, session_directory: Path) -> None:
        try:
            self._connection = messages.connect(session_directory)
        except OSError as error:
            raise _died(error) from error
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Message]] = {}
        self._problem: object = None
        threading.Thread(target=self._receive, daemon=True, name="keeper").start()
        self.request("attach", worker=ENDPOINT)

    def request(self, op: str, **fields: Any) -> Message:
        """Ask the keeper for something and wait for its answer, however long that takes.

        :param op: the name of the operation, see :class:`~pytest_isolated_emr.keeper.clusters.ClusterService`.
        :param fields: its arguments, as JSON has them.
        :raises KeeperDied: the connection has ended.
        :raises BadRequest: the keeper failed at it.
        """
        answer: Future[Message] = Future()
        with self._lock:
            if self._problem is not None:
                raise _died(self._problem)
            number = next(self._ids)
            self._waiting[number] = answer
            try:
                self._connection.sendall(messages.encode({"id": number, "op": op, **fields}))
            except OSError as error:
                raise _died(error) from error
        reply = answer.result()
        if "error" in reply:
            raise errors.BadRequest(
                f"The keeper failed at {op!r}: {reply['error']}",
                checked="the operation itself; the keeper's log has the traceback",
                cure="Report this with the log (`isolated-emr logs`).",
            )
        return reply

    def _receive(self) -> None:
        problem: object = "the connection was closed"
        try:
            with self._connection.makefile("rb") as lines:
                for line in lines:
                    reply = messages.decode(line)
                    with self._lock:
                        answer = self._waiting.pop(reply["id"])
                    answer.set_result(reply)
        except OSError as error:
            problem = error
        with self._lock:
            self._problem = problem
        for answer in self._waiting.values():
            answer.set_exception(_died(problem))


def _died(reason: object) -> errors.KeeperDied:
    return errors.KeeperDied(
        "The keeper, which owns the session's environment, is gone.",
        checked=str(reason),
        cure="Run again. The next session, or `isolated-emr sweep --delete`, removes what this one left.",
    )
