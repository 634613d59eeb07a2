"""A Spark Connect session: its states from SUBMITTED to its end.

One thread lives a session's life, another waits for its server's end. The cluster's lock guards all of it.
https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-spark-connect-sessions.html
"""

from __future__ import annotations

import secrets
import string
import threading
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from moto.core.utils import utcnow

from pytest_isolated_emr.emr.dwell import DWELL_SECONDS
from pytest_isolated_emr.emr.errors import InvalidRequestException, no_such_session
from pytest_isolated_emr.emr.session_server import SessionServer

SUBMITTED, STARTING, STARTED, IDLE, BUSY = "SUBMITTED", "STARTING", "STARTED", "IDLE", "BUSY"
TERMINATING, TERMINATED, FAILED = "TERMINATING", "TERMINATED", "FAILED"
#: A session counts as active until it has come to one of its ends.
ACTIVE = (SUBMITTED, STARTING, STARTED, IDLE, BUSY, TERMINATING)
#: A client can connect.
READY = (STARTED, IDLE, BUSY)

MAX_ACTIVE_SESSIONS = 1000
#: In minutes.
DEFAULT_IDLE_TIMEOUT, LONGEST_IDLE_TIMEOUT = 60, 24 * 60

_CLUSTER_ENDED = "The cluster was terminated."
#: How long a server may take to end by itself, in seconds, before it is killed.
_PATIENCE = 10
#: How often a server that starts is looked after, in seconds.
_LOOK = 0.05


class Session:
    """One session.

    :param request: StartSession's, valid.
    :param cluster_id: its cluster.
    :param arn_prefix: its ARN without its id.
    :param changed: the cluster's lock, on which others wait for changes.
    :param server: makes its server, given its id and the request.
    """

    def __init__(
        self,
        request: dict[str, Any],
        cluster_id: str,
        arn_prefix: str,
        changed: threading.Condition,
        server: Callable[[str, dict[str, Any]], SessionServer],
    ) -> None:
        self.id = "is-" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(13))
        self.arn = arn_prefix + self.id
        self.cluster_id = cluster_id
        self.request = request
        self.idle_timeout: int = request.get("SessionIdleTimeoutInMinutes") or DEFAULT_IDLE_TIMEOUT
        self.server = server(self.id, request)
        self.state = SUBMITTED
        self.message = "The session was submitted."
        self.created = self.updated = utcnow()
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self._changed = changed
        self._entered = time.monotonic()
        self._idle_since: float | None = None
        self._ending: str | None = None
        self._has_ended = False

    @property
    def is_active(self) -> bool:
        """Whether it has not come to an end."""
        return self.state in ACTIVE

    @property
    def is_ready(self) -> bool:
        """Whether a client can connect."""
        return self.state in READY and self._ending is None

    def end(self, reason: str) -> None:
        """End it, from whatever thread; return before it has ended.

        :param reason: why.
        """
        with self._changed:
            if self._ending is None and self.is_active:
                self._ending = reason
                self._enter(TERMINATING, reason)

    def look(self) -> None:
        """Have the state be what the server says just now."""
        with self._changed:
            if not self.is_ready or (self.state == STARTED and self._dwell_left() > 0):
                return
            activity = self.server.activity()
            if activity is None:
                self._idle_since = self._idle_since or time.time()
                self._enter(IDLE, "The session is ready.")
            elif activity.is_busy:
                self._idle_since = None
                self._enter(BUSY, "The session is running operations.")
            else:
                self._idle_since = activity.since
                self._enter(IDLE, "The session is ready.")

    # Its life

    def live(self) -> None:
        """Go through all states. Runs in the session's own thread, to its end."""
        threading.Thread(target=self._serve, name=f"{self.id} server", daemon=True).start()
        with self._changed:
            if self._ending is None:
                self._enter(STARTING, "The Spark Connect server is starting.")
            while self._goes_on() and self.server.address is None:
                self._changed.wait(_LOOK)
            if self._goes_on():
                self.started = utcnow()
                self._enter(STARTED, "The session has started.")
            while self._goes_on():
                self._changed.wait(self._watch())
        self._shut_down()

    def _serve(self) -> None:
        try:
            if self._ending is None:
                self.server.run()
        except Exception:  # noqa: BLE001 - whatever failed, its clients have to see the session end
            traceback.print_exc()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _goes_on(self) -> bool:
        return self._ending is None and not self._has_ended

    def _watch(self) -> float:
        """Look whether it was idle for too long, and return when to look next, in seconds."""
        self.look()
        if self.state == STARTED:
            return self._dwell_left()
        if self._idle_since is None:
            return self.idle_timeout * 60
        left = self._idle_since + self.idle_timeout * 60 - time.time()
        if left <= 0:
            self.end(f"The session reached its idle timeout of {self.idle_timeout} minute(s).")
        return max(0.0, left)

    def _shut_down(self) -> None:
        with self._changed:
            if self._ending is None:
                self.ended = utcnow()
                self._enter(
                    FAILED, self.server.end_reason or "The Spark Connect server could not be started."
                )
                return
        deadline = time.monotonic() + _PATIENCE
        while not self._has_ended:
            # Again and again: it may not have been started yet.
            self.server.end(at_once=time.monotonic() > deadline)
            with self._changed:
                self._changed.wait_for(lambda: self._has_ended, 0.5)
        time.sleep(max(0.0, self._dwell_left()))
        with self._changed:
            self.ended = utcnow()
            self._enter(TERMINATED, self._ending)

    def _dwell_left(self) -> float:
        return self._entered + DWELL_SECONDS - time.monotonic()

    def _enter(self, state: str, message: str) -> None:
        if state != self.state:
            self.state, self.message = state, message
            self._entered, self.updated = time.monotonic(), utcnow()
            self._changed.notify_all()

    # What is told of it

    def describe(self) -> dict[str, Any]:
        """Return it as GetSession and ListSessions do, but for what its cluster knows."""
        self.look()
        request = self.request
        repeated = ("Name", "ExecutionRoleArn", "EngineConfigurations", "MonitoringConfiguration")
        times = {
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "StartedAt": self.started,
            "EndedAt": self.ended,
            "IdleSince": _as_date(self._idle_since) if self.state == IDLE else None,
        }
        return {
            "Id": self.id,
            "ClusterId": self.cluster_id,
            "Arn": self.arn,
            "State": self.state,
            "StateChangeReason": self.message,
            "SessionIdleTimeoutInMinutes": self.idle_timeout,
            "Tags": request.get("Tags") or [],
            **{key: request[key] for key in repeated if key in request},
            **{key: value for key, value in times.items() if value is not None},
        }


class ClusterSessions:
    """The sessions of one cluster. Its lock guards them."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._by_client_token: dict[str, Session] = {}

    def add(self, session: Session) -> None:
        """Take a new session.

        :param session: the session.
        :raises InvalidRequestException: there are too many.
        """
        if len(self.active()) >= MAX_ACTIVE_SESSIONS:
            raise InvalidRequestException(
                f"The cluster has reached the limit of {MAX_ACTIVE_SESSIONS} concurrent active sessions."
            )
        self._sessions[session.id] = session
        if session.request.get("ClientRequestToken"):
            self._by_client_token[session.request["ClientRequestToken"]] = session

    def started_by(self, client_token: str | None) -> Session | None:
        """Return the session that a request with the same token has started already.

        :param client_token: StartSession's ClientRequestToken.
        """
        return self._by_client_token.get(client_token) if client_token else None

    def find(self, session_id: str) -> Session:
        """Return a session.

        :param session_id: its id.
        :raises InvalidRequestException: there is none.
        """
        if session_id not in self._sessions:
            raise no_such_session(session_id)
        return self._sessions[session_id]

    def newest_first(self) -> list[Session]:
        """Return all sessions."""
        return list(reversed(self._sessions.values()))

    def active(self) -> list[Session]:
        """Return those that have not ended."""
        return [session for session in self._sessions.values() if session.is_active]

    def end_all(self) -> None:
        """End all of them, as their cluster ends."""
        for session in self.active():
            session.end(_CLUSTER_ENDED)


def _as_date(seconds: float | None) -> datetime | None:
    # As moto's clock gives times: of UTC, without saying so.
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)
