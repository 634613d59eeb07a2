"""A Spark Connect server that is a session of EMR's on a cluster: it sees no file of this machine, and its tokens end.

https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-spark-connect-sessions.html
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_isolated_emr.backends.base import VisibleFiles
from pytest_isolated_emr.errors import IsolatedEmrError
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.spark import properties
from pytest_isolated_emr.spark.connect.access import Server
from pytest_isolated_emr.spark.connect.emr_token import EmrToken
from pytest_isolated_emr.spark.connect.fresh_sessions import close_channel
from pytest_isolated_emr.spark.connect.not_there import NotThere
from pytest_isolated_emr.spark.connect.plain_isolation import PlainIsolation

#: The address of a session of EMR's: who has a token for it may have it for another session of the tests' own.
_OF_EMR = re.compile(r"sc://.*\bx-aws-proxy-auth=")

#: What a server is started with where the suite asked for nothing else. Sessions of Connect that nobody uses for an hour
#: would end, and with them the frames that wider fixtures hold.
DEFAULTS = {"spark.connect.session.manager.defaultSessionTimeout": "24h"}


class EmrAccess:
    """The way to a session of EMR's.

    :param client: the connection to the keeper, which owns the session and asks EMR for its tokens.
    :param defaults: more settings that the suite's own win over.
    :param python_path: the directories in which this process looks for modules of the suite.
    :param note: takes what the user should read in the summary.
    :param wait_for_cluster: has the cluster started, and waits for it.
    :param progress: is told what is being waited for.
    """

    not_there = NotThere(
        "the session's Spark runs on an EMR cluster, where PySpark has no JVM at hand: no RDDs, no SparkContext",
        "Use DataFrames, run the code as a step with run_step, or run these tests with --isolated-emr-backend=local.",
    )

    def __init__(
        self,
        client: KeeperClient,
        *,
        defaults: Callable[[], Mapping[str, str]],
        python_path: Callable[[], Sequence[Path]],
        note: Callable[[str], None],
        wait_for_cluster: Callable[[], None],
        progress: Callable[[str], None],
    ) -> None:
        self._client = client
        self._defaults = defaults
        self._python_path = python_path
        self._note = note
        self._wait_for_cluster = wait_for_cluster
        self._progress = progress
        self._token: EmrToken | None = None

    def start(self, options: Mapping[str, str]) -> None:
        """Have the keeper start a session on the cluster, once that is ready, and go on meanwhile.

        :param options: settings that only a new server takes, in addition to the defaults.
        :raises IsolatedEmrError: there can be no cluster.
        """
        self._wait_for_cluster()
        wanted = properties.merged({**DEFAULTS, **self._defaults()}, options)
        self._client.request("start_spark", properties=wanted)

    def connect(self, show: Callable[[str], None]) -> Server:
        """Wait until the session is ready, and know how it is reached.

        :raises IsolatedEmrError: there is no cluster, or it did not start the session.
        """
        while "waits_for" in (where := self._client.request("spark_gateway")):
            self._progress(where["waits_for"])
        self._token = EmrToken(where["url"], where["expires"], self._renewed, show)
        return Server(VisibleFiles(python_path=tuple(self._python_path())))

    def refresh(self) -> None:
        """Renew the token if it is near its end: a process that a test starts has no other."""
        if self._token is not None:
            self._token.current()

    def lead(self, builder: Any) -> None:
        """Have a builder of Connect sessions connect to the server, by a channel whose token is renewed."""
        assert self._token is not None
        builder._options.pop("spark.remote", None)
        builder._channel_builder = _client_parts().EmrChannelBuilder(self._token)

    def is_allowed(self, builder: Any) -> bool:
        """Tell whether a builder connects to this server, or to another session of EMR's with a token for that."""
        channel = builder._channel_builder
        if channel is not None:
            return isinstance(channel, _client_parts().EmrChannelBuilder)
        return bool(_OF_EMR.match(builder._options.get("spark.remote", "")))

    def prepare(self, client: Any) -> None:
        """Have a client try again as PySpark does by itself, but not when the session is known to have ended."""
        if isinstance(client._builder, _client_parts().EmrChannelBuilder):
            client.set_retry_policies([_client_parts().RetryWhileAlive(self._status)])

    def isolation_of(self, shared: Any, settings: Mapping[str, str]) -> PlainIsolation:
        """Return what gives tests sessions of their own beside a shared one."""
        return PlainIsolation(shared, settings, is_alive=self._is_alive, note=self._note)

    def stop(self, session: Any) -> None:
        """Stop a session; if its server has ended, close its client alone."""
        if self._is_alive():
            # A server that does not answer now is not waited for: it ends with the run.
            session.client.set_retry_policies([])
            session.stop()
        else:
            close_channel(session.client)

    def disconnect(self) -> None:
        """Forget the server; the keeper is not asked for its tokens any more."""
        if self._token is not None:
            self._token.keep()
            self._token = None

    def _is_alive(self) -> bool:
        try:
            return bool(self._status()["alive"])
        except IsolatedEmrError:
            # The cluster was ended, or AWS does not tell: nothing is waited for.
            return False

    def _status(self) -> dict[str, Any]:
        return self._client.request("spark_status")

    def _renewed(self) -> tuple[str, float]:
        answer = self._client.request("spark_gateway")
        return answer["url"], answer["expires"]


def _client_parts() -> Any:
    # It imports PySpark's Connect client, which takes a second.
    return importlib.import_module("pytest_isolated_emr.spark.connect.emr_client")
