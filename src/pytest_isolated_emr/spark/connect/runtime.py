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
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import wrapt

from pytest_isolated_emr import errors
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.spark import properties, user_settings
from pytest_isolated_emr.spark.base import Isolation
from pytest_isolated_emr.spark.connect.access import Access
from pytest_isolated_emr.spark.connect.modules import SuiteModules, modules_of
from pytest_isolated_emr.spark.environment import NO_SERVER_YET, remote_variables
from pytest_isolated_emr.spark.runtime import import_pyspark, submitted_settings

Properties = dict[str, str]

#: What PySpark's Connect client imports: https://spark.apache.org/docs/latest/api/python/getting_started/install.html
_CLIENT_PACKAGES = ("grpc", "grpc_status", "google.rpc", "pandas", "pyarrow")
_REMOTE = "SPARK_REMOTE"
_PARALLELISM = "spark.default.parallelism"
#: Settings of clusters: no new server for them. They make no difference to one process, and on a small cluster sizes
#: that are meant for a large one keep Spark waiting.
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


#: The runtimes that have patched PySpark in this process, the current one last: a test may run pytest in its own process.
_INSTALLED: list[ConnectRuntime] = []


class ConnectRuntime:
    """Spark as one process of the session has it, over Spark Connect.

    :param client: the connection to the keeper.
    :param access: the way to its server, wherever that is.
    :param modules: sends it what it does not see of the suite's code.
    :param note: takes what the user should read in the summary.
    """

    def __init__(
        self,
        client: KeeperClient,
        *,
        access: Access,
        modules: SuiteModules,
        note: Callable[[str], None],
    ) -> None:
        self._client = client
        self._access = access
        self._modules = modules
        self._note = note
        self._options: Properties | None = None
        self._is_connected = False
        self._is_by_the_way = False
        self._first_settings: Properties = {}
        self._shown = {NO_SERVER_YET}
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
                cure="pip install 'pytest-isolated-emr[connect]', which brings them.",
            )
        _INSTALLED.append(self)
        for name, value in remote_variables().items():
            self._patches.setenv(name, value)
        not_there = self._access.not_there
        self._patch_when_imported("session", self._patch_session)
        self._patch_when_imported(
            "dataframe", lambda module: not_there.say_so(module.DataFrame, self._patches)
        )
        self._patch_when_imported("column", lambda module: not_there.say_so(module.Column, self._patches))
        context, session, _udf = import_pyspark()
        self._modules.install(self._patches)
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
    def is_remote(self) -> bool:
        """Yes: sessions are those of Spark Connect."""
        return True

    @property
    def is_started(self) -> bool:
        """Whether the keeper was asked for a server."""
        return self._options is not None

    @property
    def is_used(self) -> bool:
        """Whether this process is connected, or was until the server died."""
        return self._is_connected

    @property
    def is_connected(self) -> bool:
        """The same: the connection is the session."""
        return self.is_used

    def start(self, options: Mapping[str, str] | None = None) -> None:
        """Have the keeper start a server, and go on meanwhile.

        :param options: settings that only a new server takes, in addition to the defaults.
        :raises IsolatedEmrError: what it needs cannot be had.
        """
        self._options = dict(options or {})
        self._access.start(self._options)

    def give_up(self) -> None:
        """End a server that nobody uses."""
        if self.is_started and not self.is_used:
            self._client.request("end_spark")
            self._options = None

    def status(self) -> dict[str, Any]:
        """Return whether the server lives, how it ended if not, and its log."""
        status = self._client.request("spark_status")
        if self._is_connected and status["alive"]:
            self._access.refresh()
        return status

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

    def isolation_of(self, shared: Any) -> Isolation:
        """Return what gives tests sessions of their own beside a shared one."""
        return self._access.isolation_of(shared, self._first_settings)

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
        remote = self._remote_sessions().builder
        self._access.lead(remote)
        for key, value in asked.items():
            if properties.is_session_setting(key):
                remote.config(key, value)
        return remote.getOrCreate()

    def _connect(self) -> None:
        """Wait for the server, and know where it is."""
        # Its import takes a second, while the server comes up.
        self._remote_sessions()
        os.environ[_REMOTE] = NO_SERVER_YET
        server = self._access.connect(self._show_to_processes)
        self._is_connected = True
        self._modules.look_at_path(server.files, server.path_file)

    def _show_to_processes(self, url: str) -> None:
        """Have a process that a test starts share the server, with sessions of its own."""
        # A test may have set another one meanwhile.
        if os.environ.get(_REMOTE, NO_SERVER_YET) in self._shown:
            os.environ[_REMOTE] = url
        self._shown.add(url)

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
        self._access.not_there.say_so(session_class, self._patches)
        original_init, original_create = session_class.__init__, session_class.Builder.create
        original_active = session_class.active.__func__

        def init(session: Any, *args: Any, **kwargs: Any) -> None:
            original_init(session, *args, **kwargs)
            self._know(session)

        def create(builder: Any) -> Any:
            if not self._is_current:
                return original_create(builder)
            if not self._access.is_allowed(builder):
                self._left_out("spark.remote")
                self._access.lead(builder)
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
        self._access.prepare(session.client)
        self._sessions.add(session)
        self._modules.send_to(session)

    def _stop_sessions(self) -> None:
        """Stop every session of this process: one that is left can keep Python from exiting."""
        if not self._is_connected:
            return
        for session in list(self._sessions):
            if not session.is_stopped:
                self._access.stop(session)
        self._sessions.clear()
        self._forget_current_sessions()
        self._access.disconnect()
        self._is_connected = False
        os.environ[_REMOTE] = NO_SERVER_YET

    def _left_out(self, key: str) -> None:
        self._note(f"{key}: set by the suite, left out, as it would lead out of the session")


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        # The package that it would be in.
        return False
