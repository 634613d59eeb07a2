"""A Spark Connect server in a container on this machine: it sees some of its files, and its token lasts as long as it."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_isolated_emr.backends.base import VisibleFiles
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.spark import connect, properties
from pytest_isolated_emr.spark.connect.access import Server
from pytest_isolated_emr.spark.connect.isolation import ConnectIsolation, execute, stop_session
from pytest_isolated_emr.spark.connect.not_there import NotThere
from pytest_isolated_emr.spark.environment import encoded

Properties = dict[str, str]

#: The address of a session on a cluster of the private EMR, with its token.
_OF_PRIVATE_EMR = re.compile(r"sc://127\.0\.0\.1:\d+/;.*\bx-aws-proxy-auth=v2\.local\.")

#: How a client of Spark Connect tries again what failed on the way, in milliseconds.
_RETRIES = {"max_retries": 3, "backoff_multiplier": 2, "initial_backoff": 100, "max_backoff": 1000}


class ContainerAccess:
    """The way to a server in a container.

    :param client: the connection to the keeper.
    :param spark_home: the Spark that the installed pyspark ships.
    :param defaults: settings that a user's own win over, except for protected ones.
    :param for_server: makes of settings, and an environment, those that a server is started with.
    :param files: what the server is to see of this machine.
    :param timeout: how long a server may take until it answers, in seconds.
    """

    not_there = NotThere(
        "the session's Spark runs in a container, where PySpark has no JVM at hand: no RDDs, no SparkContext",
        "Use DataFrames, or run these tests with --isolated-emr-backend=local.",
    )

    def __init__(
        self,
        client: KeeperClient,
        *,
        spark_home: Path,
        defaults: Callable[[], Properties],
        for_server: Callable[[Properties, Properties], Properties],
        files: Callable[[], VisibleFiles],
        timeout: float,
    ) -> None:
        self._client = client
        self._spark_home = spark_home
        self._defaults = defaults
        self._for_server = for_server
        self._files = files
        self._timeout = timeout
        self._url = ""
        self._environ: dict[str, str] | None = None
        self._sent_files = VisibleFiles()

    def start(self, options: Mapping[str, str]) -> None:
        """Have the keeper start a server in a container, and go on meanwhile.

        :param options: settings that only a new server takes, in addition to the defaults.
        :raises JarsUnavailable: a jar is neither cached nor to be fetched.
        """
        self._sent_files = self._files()
        environ = dict(os.environ)
        wanted = properties.merged(self._defaults(), options)
        self._client.request(
            "start_spark",
            properties=self._for_server(wanted, environ),
            environ=environ,
            cwd=str(Path.cwd()),
            spark_home=str(self._spark_home),
            timeout=self._timeout,
            files=self._sent_files.to_message(),
        )

    def connect(self, show: Callable[[str], None]) -> Server:
        """Wait until the server listens, and know how it is reached."""
        where = self._client.request("spark_gateway")
        self._url = where["url"]
        self._environ = where.get("environ")
        show(self._url)
        there = replace(self._sent_files, python_path=self._files().python_path)
        return Server(there, Path(where["directory"]) / connect.PYTHON_PATH_NAME)

    def refresh(self) -> None:
        """Do nothing: the token lasts."""

    def lead(self, builder: Any) -> None:
        """Have a builder of Connect sessions connect to the server."""
        builder._channel_builder = None
        builder._options["spark.remote"] = self._url

    def is_allowed(self, builder: Any) -> bool:
        """Tell whether a builder connects to this server, or to one of the private EMR."""
        remote = builder._options.get("spark.remote", "")
        return builder._channel_builder is None and bool(_OF_PRIVATE_EMR.match(remote))

    def prepare(self, client: Any) -> None:
        """Have a client not try for ten minutes to reach a server that is gone: it is on this machine, and does not
        come back. By the first one the server gets the environment that it was started without."""
        if hasattr(client, "set_retry_policies"):
            policies = importlib.import_module("pyspark.sql.connect.client.retries")
            client.set_retry_policies([policies.DefaultPolicy(**_RETRIES)])
        else:
            # pyspark 3.5
            client._retry_policy.update(_RETRIES)
        environ, self._environ = self._environ, None
        if environ is not None:
            # The server was started ahead, with no more than a JVM needs at its start.
            execute(client, "environment", encoded(environ))

    def isolation_of(self, shared: Any, settings: Mapping[str, str]) -> ConnectIsolation:
        """Return what gives tests sessions of their own beside a shared one."""
        return ConnectIsolation(shared, settings)

    def stop(self, session: Any) -> None:
        """Stop a session; if its server has ended, close its client alone."""
        stop_session(session)

    def disconnect(self) -> None:
        """Forget the server."""
        self._url = ""
