"""A Spark Connect session of a cluster's, of EMR's own kind.

https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-spark-connect-sessions.html
"""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account, aws_errors
from pytest_isolated_emr.backends.emr.pace import Pace, Stop

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_Session.html
_READY = frozenset({"STARTED", "IDLE", "BUSY"})
_ENDED = frozenset({"TERMINATING", "TERMINATED", "FAILED"})
#: A token that is handed out lasts at least so long; AWS's last an hour.
_LEAST = timedelta(minutes=10)


class ConnectSession:
    """One session. Its methods make calls of EMR; threads may share it.

    :param account: the cluster's.
    :param cluster_id: the cluster.
    :param name: the session's.
    :param idle_minutes: after this long without work EMR ends it.
    :param pace: how often EMR is asked, and how long for.
    """

    def __init__(self, account: Account, cluster_id: str, name: str, idle_minutes: int, pace: Pace) -> None:
        self._account = account
        self._cluster_id = cluster_id
        self._name = name
        self._idle_minutes = idle_minutes
        self._pace = pace
        self._id = ""
        self._token = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._access: dict[str, Any] = {}

    def start(self, properties: Mapping[str, str], stop: Stop) -> None:
        """Start it, and wait until it answers.

        :param properties: Spark's settings.
        :param stop: cuts it off.
        :raises ConnectSessionFailed: it did not start, or not in time.
        :raises IsolatedEmrError: EMR refused it, or did not answer.
        :raises Stopped: the run ends.
        """
        request: dict[str, Any] = {
            "ClusterId": self._cluster_id,
            "Name": self._name,
            "SessionIdleTimeoutInMinutes": self._idle_minutes,
            # By it EMR knows a request again whose answer got lost.
            "ClientRequestToken": self._token,
        }
        if properties:
            settings = {"Classification": "spark-defaults", "Properties": dict(properties)}
            request["EngineConfigurations"] = [settings]
        with aws_errors(f"starting a Spark session on {self._cluster_id} (elasticmapreduce:StartSession)"):
            self._id = str(self._account.client("emr").start_session(**request)["Id"])
        try:
            self._await_ready(stop)
        except errors.IsolatedEmrError:
            # Nobody will use it, and it has a part of the cluster's memory.
            try:
                self.end()
            except errors.IsolatedEmrError:
                # For the log: the user is told why it did not start, and it ends with its cluster.
                traceback.print_exc()
            raise

    def _await_ready(self, stop: Stop) -> None:
        began, pause = time.monotonic(), self._pace.poll
        while True:
            waited = time.monotonic() - began
            is_last = waited >= self._pace.session
            try:
                session = self._look()
            except errors.AwsUnreachable:
                # AWS's silence says nothing of Spark.
                if is_last:
                    raise
            else:
                if session["State"] in _READY:
                    return
                if session["State"] in _ENDED or is_last:
                    raise errors.ConnectSessionFailed(
                        f"A Spark session of the cluster {self._cluster_id} did not start.",
                        checked=f"GetSession, after {waited:.0f} s: {_words(session)}",
                        cure="Look at the settings that the suite asks for, at the instance's size and at the logs of the cluster.",
                    )
            stop.wait(pause)
            pause = self._pace.longer(pause)

    def access(self) -> dict[str, Any]:
        """Return how it is reached: ``url``, for PySpark, with a token that lasts some more minutes; and ``expires``, when
        that ends, in seconds of the epoch.

        :raises IsolatedEmrError: EMR refused it, or did not answer.
        """
        with self._lock:
            if not self._access or self._access["expires"] - time.time() < _LEAST.total_seconds():
                self._access = self._ask_for_access()
            return self._access

    def _ask_for_access(self) -> dict[str, Any]:
        with aws_errors(f"asking where the session {self._id} is (elasticmapreduce:GetSessionEndpoint)"):
            answer = self._account.client("emr").get_session_endpoint(
                ClusterId=self._cluster_id, SessionId=self._id
            )
        endpoint = urlsplit(answer["Endpoint"])
        ssl = "use_ssl=true;" if endpoint.scheme == "https" else ""
        # By AWS's clock; what counts is how long it lasts.
        lasts = answer["AuthTokenExpirationTime"] - self._account.now()
        return {
            "url": f"sc://{endpoint.hostname}:{endpoint.port or 443}/;{ssl}"
            f"x-aws-proxy-auth={answer['AuthToken']};authorization={self._id}",
            "expires": time.time() + lasts.total_seconds(),
        }

    def ending(self) -> str:
        """Return how it ended, in words; empty if it lives.

        :raises IsolatedEmrError: EMR refused to tell, or did not answer.
        """
        session = self._look()
        return _words(session) if session["State"] in _ENDED else ""

    def end(self) -> None:
        """Terminate it; one that has ended stays as it is.

        :raises IsolatedEmrError: EMR refused it, or did not answer.
        """
        if self._id:
            with aws_errors(f"ending the Spark session {self._id} (elasticmapreduce:TerminateSession)"):
                self._account.client("emr").terminate_session(ClusterId=self._cluster_id, SessionId=self._id)

    def _look(self) -> dict[str, Any]:
        with aws_errors(f"looking at the Spark session {self._id} (elasticmapreduce:GetSession)"):
            session: dict[str, Any] = self._account.client("emr").get_session(
                ClusterId=self._cluster_id, SessionId=self._id
            )["Session"]
        return session


def _words(session: dict[str, Any]) -> str:
    reason = session.get("StateChangeReason")
    return f"session {session['Id']} is {session['State']}{f': {reason}' if reason else ''}"
