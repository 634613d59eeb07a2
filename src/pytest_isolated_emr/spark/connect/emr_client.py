"""What of PySpark's Connect client is another one for a session of EMR's: the channel, and when a call is tried again.

It imports that client. Sessions of EMR's need Spark 4, and so does this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
from pyspark.sql.connect.client import DefaultChannelBuilder
from pyspark.sql.connect.client.retries import DefaultPolicy

from pytest_isolated_emr import errors
from pytest_isolated_emr.spark.connect.emr_token import EmrToken

_TOKEN = "x-aws-proxy-auth"
#: How Spark tells of errors of the code under test, and gRPC of a channel that was closed here: not the server's end.
_NO_END = (grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)


class EmrChannelBuilder(DefaultChannelBuilder):  # type: ignore[misc]
    """Makes channels to a session of EMR's, whose calls have the token that is current as they are made.

    :param token: the session's.
    """

    def __init__(self, token: EmrToken) -> None:
        super().__init__(token.current())
        self._emr_token = token

    def metadata(self) -> CurrentMetadata:
        """Return what each call carries: PySpark keeps it, for running operations and for what it uploads."""
        return CurrentMetadata(self)

    def current_metadata(self) -> list[tuple[str, str]]:
        """Return it as it is at this moment."""
        current = DefaultChannelBuilder(self._emr_token.current())
        self.set(_TOKEN, current.get(_TOKEN))
        return list(super().metadata())

    def __deepcopy__(self, _memo: dict[int, Any]) -> EmrChannelBuilder:
        """Return another for the same session, as PySpark wants one for each session of Connect's."""
        copied = EmrChannelBuilder.__new__(EmrChannelBuilder)
        copied.__dict__ = {**self.__dict__, "_params": dict(self._params)}
        copied._channel_options = list(self._channel_options)
        copied._interceptors = list(self._interceptors)
        return copied


class CurrentMetadata:
    """What calls carry, made anew whenever one is made: gRPC reads it once for each.

    :param builder: that of their channel.
    """

    def __init__(self, builder: EmrChannelBuilder) -> None:
        self._builder = builder

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._builder.current_metadata())


class RetryWhileAlive(DefaultPolicy):  # type: ignore[misc]
    """Tries again what PySpark tries again by itself, for ten minutes, unless the session has ended.

    :param status: tells of the session whether it is alive, and how it ended if not.
    """

    def __init__(self, status: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._status = status

    def can_retry(self, e: BaseException) -> bool:
        """Tell whether a call that failed is made again.

        :param e: how it failed.
        :raises ConnectSessionFailed: the session has ended, so that no call can succeed.
        """
        if isinstance(e, grpc.RpcError) and e.code() not in _NO_END:
            status = self._status()
            if not status["alive"]:
                raise errors.ConnectSessionFailed(
                    f"The Spark Connect session on the EMR cluster has ended: {status['exit']}.",
                    checked=f"a call to it failed ({e.code().name}), and so its state",
                    cure="Look at the session's logs below the cluster's LogUri. The next test gets a new session, "
                    "unless the cluster has ended as well.",
                ) from e
        return bool(super().can_retry(e))
