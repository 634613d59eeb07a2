"""This process's Spark where it runs elsewhere: PySpark's sessions are remote ones, of Spark Connect.

PySpark is patched at these places while the session lasts:

- ``SparkSession.Builder.getOrCreate``: returns a session of the server that the keeper started,
- ``SparkSession.Builder.create`` of Spark Connect: connects nowhere else,
- ``launch_gateway`` and ``SparkContext``: say that there is no JVM here,
- what Spark Connect does not have (RDDs, ``sparkContext``): says so, and names the choice that there is.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wrapt

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import VisibleFiles
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.spark import connect, properties, user_settings
from pytest_isolated_emr.spark.connect import not_there
from pytest_isolated_emr.spark.connect.isolation import ConnectIsolation, stop_session
from pytest_isolated_emr.spark.connect.modules import SuiteModules, modules_of
from pytest_isolated_emr.spark.environment import NO_SERVER_YET
from pytest_isolated_emr.spark.runtime import import_pyspark, submitted_settings

Properties = dict[str, str]

#: What PySpark's Connect client imports: https://spark.apache.org/docs/latest/api/python/getting_started/install.html
_CLIENT_PACKAGES = ("grpc", "grpc_status", "google.rpc", "pandas", "pyarrow")
_PARALLELISM = "spark.default.parallelism"
#: Settings of clusters, which make no difference to one process: no new server for them.
_OF_CLUSTERS = (
    "spark.app.",
    "spark.cores.",
    "spark.dynamicAllocation.",
    "spark.eventLog.",
    "spark.executor.",
    "spark.history.",
    "spark.kubernetes.",
    "spark.master",
    "spark.shuffle.service.",
    "spark.submit.",
    "spark.ui.",
    "spark.yarn.",
)


#: The address of a session on a cluster of the private EMR, with its token.
_OF_PRIVATE_EMR = re.compile(r"sc://127\.0\.0\.1:\d+/;.*\bx-aws-proxy-auth=v2\.local\.")

#: How a client of Spark Connect tries again what failed on the way, in milliseconds.
_RETRIES = {"max_retries": 3, "backoff_multiplier": 2, "initial_backoff": 100, "max_backoff": 1000}


#: The runtimes that have patched PySpark in this process, the current one last: a test may run pytest in its own process.
_INSTALLED: list[ConnectRuntime] = []


class ConnectRuntime:
    """Spark as one process of the session has it, over Spark Connect.

    :param client: the connection to the keeper.
    :param spark_home: the Spark that the installed pyspark ships.
    :param defaults: settings that a user's own win over, except for protected ones.
    :param for_server: makes of settings, and an environment, those that a server is started with.
    :param files: what the server is to see of this machine.
    :param modules: sends it what it does not see of the suite's code.
    :param timeout: how long a server may take until it answers, in seconds.
    :param note: takes what the user should read in the summary.
    """

    def __init__(
        self,
        client: KeeperClient,
        *,
        spark_home: Path,
        defaults: Callable[[], Properties],
        for_server: Callable[[Properties, Properties], Properties],
        files: Callable[[], VisibleFiles],
        modules: SuiteModules,
        timeout: float,
        note: Callable[[str], None],
    ) -> None:
        self._client = client
        self._spark_home = spark_home
        self._defaults = defaults
        self._for_server = for_server
        self._files = files
        self._modules = modules
        self._timeout = timeout
        self._note = note
        self._options: Properties | None = None
        self._url = ""
        self._is_by_the_way = False
        self._first_settings: Properties = {}
        self._sent_files = VisibleFiles()
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()
        self._session_class: Any = None
        self._patches = pytest.MonkeyPatch()

    # What the plugin does with it

    def install(self) -> None:
        """Patch PySpark.

        :raises ConnectClientMissing: it cannot be a client of Spark Connect.
        """
        missing = [name for name in _CLIENT_PACKAGES if not _is_there(name)]
        if missing:
            raise errors.ConnectClientMissing(
                "PySpark cannot be a client of Spark Connect here.",
                checked=f"these packages are not installed: {', '.join(missing)}",
                cure="pip install 'pytest-isolated-emr[docker]', which brings them.",
            )
        _INSTALLED.append(self)
        self._patch_when_imported("session", self._patch_session)
        self._patch_when_imported(
            "dataframe", lambda module: not_there.say_so(module.DataFrame, self._patches)
        )
        self._patch_when_imported("column", lambda module: not_there.say_so(module.Column, self._patches))
        context, session, _udf = import_pyspark()
        builder = session.SparkSession.Builder
        self._patches.setattr(context, "launch_gateway", not_there.no_jvm)
        self._patches.setattr(context.SparkContext, "__init__", not_there.no_jvm)
        self._patches.setattr(builder, "_validate_startup_urls", lambda *_args, **_kwargs: None)
        runtime = self

        def get_or_create(own: Any) -> Any:
            return runtime._get_or_create(own)

        get_or_create.__doc__ = builder.getOrCreate.__doc__
        self._patches.setattr(builder, "getOrCreate", get_or_create)

    def uninstall(self) -> None:
        """Let go of Spark and leave PySpark as it was."""
        self._stop_sessions()
        self._modules.forget()
        if self in _INSTALLED:
            _INSTALLED.remove(self)
        self._patches.undo()

    @property
    def is_started(self) -> bool:
        """Whether the keeper was asked for a server."""
        return self._options is not None

    @property
    def is_used(self) -> bool:
        """Whether this process is connected, or was until the server died."""
        return bool(self._url)

    def start(self, options: Mapping[str, str] | None = None) -> None:
        """Have the keeper start a server, and go on meanwhile.

        :param options: settings that only a new server takes, in addition to the defaults.
        :raises JarsUnavailable: a jar is neither cached nor to be fetched.
        """
        self._options = dict(options or {})
        self._sent_files = self._files()
        environ = dict(os.environ)
        wanted = properties.merged(self._defaults(), self._options)
        self._client.request(
            "start_spark",
            properties=self._for_server(wanted, environ),
            environ=environ,
            cwd=str(Path.cwd()),
            spark_home=str(self._spark_home),
            timeout=self._timeout,
            files=self._sent_files.to_message(),
        )

    def give_up(self) -> None:
        """End a server that nobody uses."""
        if self.is_started and not self.is_used:
            self._client.request("end_spark")
            self._options = None

    def status(self) -> dict[str, Any]:
        """Return whether the server lives, how it ended if not, and its log."""
        return self._client.request("spark_status")

    def end_context(self) -> None:
        """End all sessions. The next one gets a new server, unless this one is fit for all: it lives and has no options
        of a single suite or test."""
        if not self.is_used:
            return
        alive = self.status()["alive"]
        self._stop_sessions()
        if self._options or not alive:
            self._options = None

    def has_collected(self, items: Iterable[Any]) -> None:
        """Have functions of the tests' own modules sent to workers as they are."""
        self._modules.send_by_value(modules_of(items))

    def running_session(self) -> Any:
        """Return the session that ``getOrCreate`` would return, if there is one."""
        session = self._remote_sessions()._default_session if self.is_used else None
        return session if session is not None and not session.is_stopped else None

    def isolation_of(self, shared: Any) -> ConnectIsolation:
        """Return what gives tests sessions of their own beside a shared one."""
        return ConnectIsolation(shared, self._first_settings)

    # What PySpark calls in place of its own

    def _get_or_create(self, builder: Any) -> Any:
        options = builder._options
        if options.get("spark.remote") == NO_SERVER_YET:
            del options["spark.remote"]
        for key in user_settings.leave_out(options):
            self._left_out(key)
        asked = {key: properties.text_of(value) for key, value in options.items()}
        if _PARALLELISM in asked:
            # The first is of all of Spark, and needs a new server; to DataFrames the other is the same.
            asked.setdefault("spark.sql.leafNodeDefaultParallelism", asked.pop(_PARALLELISM))
        for_server = {
            k: v
            for k, v in asked.items()
            if not properties.is_session_setting(k) and not k.startswith(_OF_CLUSTERS)
        }
        if self._is_by_the_way and not for_server.items() <= (self._options or {}).items():
            # Nobody has asked for that session yet, so nobody misses it.
            self._stop_sessions()
        self._is_by_the_way = False
        if self.running_session() is None:
            for_server = submitted_settings() | for_server
            if not self.is_started or not for_server.items() <= (self._options or {}).items():
                self._stop_sessions()
                self.start(for_server)
            self._connect()
            # Those of a run around this one are its own.
            self._forget_current_sessions()
            self._first_settings = {k: v for k, v in asked.items() if properties.is_session_setting(k)}
        else:
            for key, _value in sorted(for_server.items() - (self._options or {}).items()):
                self._note(
                    f"{key}: ignored by a Spark that runs already; "
                    "give the test @pytest.mark.isolated_emr(conf=…) to have one started with it"
                )
        remote = self._remote_sessions().builder.config("spark.remote", self._url)
        for key, value in asked.items():
            if properties.is_session_setting(key):
                remote.config(key, value)
        return remote.getOrCreate()

    def _connect(self) -> None:
        """Wait for the server, and know where it is."""
        # Its import takes a second, while the server comes up.
        self._remote_sessions()
        where = self._client.request("spark_gateway")
        self._url = where["url"]
        now = self._files()
        there = replace(self._sent_files, python_path=now.python_path)
        self._modules.look_at_path(there, Path(where["directory"]) / connect.PYTHON_PATH_NAME)
        # A process that a test starts shares the server, with sessions of its own.
        os.environ["SPARK_REMOTE"] = self._url

    def _patch_when_imported(self, name: str, patch: Callable[[Any], None]) -> None:
        """Patch a module of PySpark's Connect client when the suite, or this, imports it: that takes a second."""

        def patch_if_installed(module: Any) -> None:
            # Hooks stay registered.
            if self in _INSTALLED:
                patch(module)

        wrapt.register_post_import_hook(patch_if_installed, f"pyspark.sql.connect.{name}")

    def _patch_session(self, module: Any) -> None:
        # Kept, as a test's pytester may take the module away.
        session_class = self._session_class = module.SparkSession
        not_there.say_so(session_class, self._patches)
        original_init, original_create = session_class.__init__, session_class.Builder.create
        original_active = session_class.active.__func__

        def init(session: Any, *args: Any, **kwargs: Any) -> None:
            original_init(session, *args, **kwargs)
            self._know(session)

        def create(builder: Any) -> Any:
            if not self._is_current:
                return original_create(builder)
            is_ours = _OF_PRIVATE_EMR.match(builder._options.get("spark.remote", ""))
            if builder._channel_builder is not None or not is_ours:
                self._left_out("spark.remote")
                builder._channel_builder = None
                builder._options["spark.remote"] = self._url
            return original_create(builder)

        def active(cls: Any) -> Any:
            # Over Connect a function with its type in words, @udf("long"), needs a session as it is defined.
            if self._is_current and self.running_session() is None:
                self._get_or_create(session_class.builder)
                self._is_by_the_way = True
            return original_active(cls)

        def knowing(original: Callable[..., Any]) -> Callable[..., Any]:
            def derive(session: Any, *args: Any, **kwargs: Any) -> Any:
                derived = original(session, *args, **kwargs)
                self._know(derived)
                return derived

            return derive

        for name in ("newSession", "cloneSession"):
            # They make one without its __init__, in the versions that have them.
            if hasattr(session_class, name):
                self._patches.setattr(session_class, name, knowing(getattr(session_class, name)))
        self._patches.setattr(session_class, "__init__", init)
        self._patches.setattr(session_class.Builder, "create", create)
        self._patches.setattr(session_class, "active", classmethod(active))

    def _remote_sessions(self) -> Any:
        """Return the class of Spark Connect's sessions."""
        return self._session_class or importlib.import_module("pyspark.sql.connect.session").SparkSession

    def _forget_current_sessions(self) -> None:
        session_class = self._remote_sessions()
        session_class._default_session = None
        session_class._active_session.session = None

    @property
    def _is_current(self) -> bool:
        return _INSTALLED[-1:] == [self]

    def _know(self, session: Any) -> None:
        if not self._is_current:
            return
        _give_up_early(session.client)
        self._sessions.add(session)
        self._modules.send_to(session)

    def _stop_sessions(self) -> None:
        """Stop every session of this process: one that is left can keep Python from exiting."""
        if not self._url:
            return
        for session in list(self._sessions):
            if not session.is_stopped:
                stop_session(session)
        self._sessions.clear()
        self._forget_current_sessions()
        self._url = ""
        os.environ["SPARK_REMOTE"] = NO_SERVER_YET

    def _left_out(self, key: str) -> None:
        self._note(f"{key}: set by the suite, left out, as it would lead out of the session")


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        # The package that it would be in.
        return False


def _give_up_early(client: Any) -> None:
    """Have a client not try for ten minutes to reach a server that is gone: it is on this machine, and does not come
    back."""
    if hasattr(client, "set_retry_policies"):
        policies = importlib.import_module("pyspark.sql.connect.client.retries")
        client.set_retry_policies([policies.DefaultPolicy(**_RETRIES)])
    else:
        # pyspark 3.5
        client._retry_policy.update(_RETRIES)
