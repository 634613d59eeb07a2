"""This process's Spark: where PySpark would start a JVM of its own, it gets the session's.

PySpark is patched at four places while the session lasts, each the one through which all of its ways lead:

- ``launch_gateway``: hands out a JVM that the keeper started,
- ``SparkContext._ensure_initialized``: gets another JVM where the options ask for one, or the last one died,
- ``SparkContext._initialize_context``: settles the settings of a new context,
- ``SparkSession.Builder.getOrCreate``: leaves out settings that lead out of the session.
"""

from __future__ import annotations

import importlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.backends.base import VisibleFiles
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.spark import properties, python_daemon, quick_imports, user_settings
from pytest_isolated_emr.spark.environment import encoded
from pytest_isolated_emr.spark.isolation import SessionIsolation
from pytest_isolated_emr.spark.submit_arguments import submit_settings

# Changes with every test, and would give every context workers of its own.
_NOT_FOR_WORKERS = frozenset({"PYTEST_CURRENT_TEST"})

Properties = dict[str, str]


class SparkRuntime:
    """Spark as one process of the session has it.

    :param client: the connection to the keeper.
    :param spark_home: the Spark that the installed pyspark ships.
    :param defaults: settings that a user's own win over, except for protected ones.
    :param for_jvm: makes of settings, and an environment, those that a JVM is started with.
    :param timeout: how long a JVM may take until it answers, in seconds.
    :param note: takes what the user should read in the summary.
    """

    def __init__(
        self,
        client: KeeperClient,
        *,
        spark_home: Path,
        defaults: Callable[[], Properties],
        for_jvm: Callable[[Properties, Properties], Properties],
        timeout: float,
        note: Callable[[str], None],
    ) -> None:
        self._client = client
        self._spark_home = spark_home
        self._defaults = defaults
        self._for_jvm = for_jvm
        self._timeout = timeout
        self._note = note
        self._options: Properties | None = None
        self._started_with: Properties = {}
        self._environ: dict[str, str] = {}
        self._contexts = 0
        self._udfs: weakref.WeakSet[Any] = weakref.WeakSet()
        self._patches = pytest.MonkeyPatch()

    # What the plugin does with it

    def install(self) -> None:
        """Patch PySpark, which this imports."""
        context, session, udf = import_pyspark()
        self._launch = context.launch_gateway
        self._patches.setattr(context, "launch_gateway", self.launch_gateway)
        self._patch_method(context.SparkContext, "_initialize_context", self._initialize_context)
        self._patch_method(session.SparkSession.Builder, "getOrCreate", self._get_or_create)
        self._patch_method(udf.UserDefinedFunction, "_create_judf", self._create_judf)
        ensure = context.SparkContext._ensure_initialized

        def ensure_initialized(cls: Any, instance: Any = None, gateway: Any = None, conf: Any = None) -> None:
            if instance is not None and gateway is None and cls._active_spark_context is None:
                self._before_context(conf)
            ensure(instance, gateway, conf)

        self._patches.setattr(context.SparkContext, "_ensure_initialized", classmethod(ensure_initialized))
        quick_imports.install(self._patches.setattr)

    def uninstall(self) -> None:
        """Let go of Spark and leave PySpark as it was."""
        self.forget_jvm()
        self._patches.undo()

    @property
    def is_remote(self) -> bool:
        """No: PySpark has a JVM at hand."""
        return False

    @property
    def is_started(self) -> bool:
        """Whether the keeper was asked for a JVM."""
        return self._options is not None

    @property
    def is_used(self) -> bool:
        """Whether a context runs, or ran until its JVM died."""
        return _context_module().SparkContext._active_spark_context is not None

    @property
    def is_connected(self) -> bool:
        """Whether PySpark has a gateway to the JVM, or had one until that died."""
        return _context_module().SparkContext._gateway is not None

    def start(self, options: Mapping[str, str] | None = None) -> None:
        """Have the keeper start a JVM, and go on meanwhile.

        :param options: settings that only a new JVM takes, in addition to the defaults.
        :raises JarsUnavailable: a jar is neither cached nor to be fetched.
        """
        self._options = dict(options or {})
        self._environ = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_WORKERS}
        wanted = properties.merged(self._defaults(), self._options)
        self._started_with = self._for_jvm(wanted, self._environ)
        # spark-submit would read it once more, packages and all.
        environ = {k: v for k, v in self._environ.items() if k != "PYSPARK_SUBMIT_ARGS"}
        self._client.request(
            "start_spark",
            properties=self._started_with,
            environ=python_daemon.with_worker_path(environ),
            cwd=str(Path.cwd()),
            spark_home=str(self._spark_home),
            timeout=self._timeout,
            # It is on this machine, and sees all of it.
            files=VisibleFiles().to_message(),
        )

    def give_up(self) -> None:
        """End a JVM that nobody uses."""
        if self.is_started and not self.is_used:
            self._client.request("end_spark")
            self.forget_jvm()

    def status(self) -> dict[str, Any]:
        """Return whether the JVM lives, how it ended if not, and its log."""
        return self._client.request("spark_status")

    def end_context(self) -> None:
        """End the running context. The next one gets a new JVM, unless the JVM is fit for all: it lives and has no
        options of a single suite or test."""
        if not self.is_connected:
            return
        if self._options or not self.status()["alive"]:
            self.forget_jvm()
        elif self.is_used:
            session_class = importlib.import_module("pyspark.sql.session").SparkSession
            context = _context_module().SparkContext._active_spark_context
            session = session_class._instantiatedSession
            (session or context).stop()

    def has_collected(self, items: Iterable[Any]) -> None:
        """Need nothing: Python workers are on this machine."""

    def running_session(self) -> Any:
        """Return the session that ``getOrCreate`` would return, if there is one."""
        session = importlib.import_module("pyspark.sql.session").SparkSession._instantiatedSession
        return session if session is not None and session._sc._jsc is not None else None

    def isolation_of(self, shared: Any) -> SessionIsolation:
        """Return what gives tests sessions of their own beside a shared one."""
        return SessionIsolation(shared)

    def forget_jvm(self) -> None:
        """Let go of the JVM and of all that this process holds of it; PySpark is as it was before the first one."""
        context_class = _context_module().SparkContext
        session_class = importlib.import_module("pyspark.sql.session").SparkSession
        sql_context_class = importlib.import_module("pyspark.sql.context").SQLContext
        context, gateway = context_class._active_spark_context, context_class._gateway
        if context is not None:
            # Its stop() would talk to the JVM, which may be dead, and wait for the accumulators' server, which looks
            # twice a second whether it is to end.
            context._jsc = None
            server, context._accumulatorServer = getattr(context, "_accumulatorServer", None), None
            if server is not None:
                # It prints a traceback where a JVM ends before its connection.
                server.handle_error = lambda _request, _address: None
                threading.Thread(target=server.shutdown, daemon=True).start()
            with suppress(Exception):
                context.stop()
        if gateway is not None:
            # A dead JVM cannot answer the good-bye.
            with suppress(Exception):
                gateway.shutdown()
        context_class._active_spark_context = context_class._gateway = context_class._jvm = None
        session_class._instantiatedSession = session_class._activeSession = None
        sql_context_class._instantiatedContext = None
        for function in self._udfs:
            # The JVM's half of a user-defined function, kept by the module that defined it.
            function._judf_placeholder = None
        self._options = None

    # What PySpark calls in place of its own

    def launch_gateway(self, conf: Any = None, popen_kwargs: Any = None) -> Any:
        """Return a gateway to the session's JVM, as PySpark's function of that name does to one of its own.

        :param conf: the settings of the first context, not bound to any JVM.
        :param popen_kwargs: for the JVM that PySpark would start; there is none.
        """
        wanted = properties.jvm_start_options(_settings_of(conf))
        if self._options is None or not wanted.items() <= self._options.items():
            self.start(wanted)
        where = self._client.request("spark_gateway")
        # Only for this moment: a process that a test starts must not come here.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYSPARK_GATEWAY_PORT", str(where["port"]))
            patch.setenv("PYSPARK_GATEWAY_SECRET", where["secret"])
            gateway = self._launch(conf)
        if "environ" in where:
            # It was started ahead, with no more than a JVM needs at its start.
            gateway.jvm.isolatedemr.StartedAhead.replaceEnvironment(encoded(where["environ"]))
        return gateway

    def _before_context(self, conf: Any) -> None:
        if self._options is None or _context_module().SparkContext._gateway is None:
            return
        settings = dict(conf.getAll()) if conf is not None else {}
        # A SparkConf that was made in a running JVM has the settings of that JVM too; nobody asked for those.
        inherited = self._started_with.items() - self._options.items()
        asked = {key: value for key, value in settings.items() if (key, value) not in inherited}
        wanted = properties.jvm_start_options(submitted_settings() | asked)
        if wanted.items() <= self._options.items() and self.status()["alive"]:
            return
        self.forget_jvm()
        if conf is not None:
            # It was made by the JVM that is gone; by what was asked for it is made anew in the next one.
            conf._jconf = None
            conf._conf = asked

    def _initialize_context(self, original: Callable[[Any], Any], context: Any, jconf: Any) -> Any:
        self._contexts += 1
        mine = self._started_with
        for key in user_settings.settle(jconf, mine):
            self._left_out(key)
        if jconf.get("spark.sql.warehouse.dir", "") == mine["spark.sql.warehouse.dir"]:
            # The tables of the context before are not in this one's catalog, but their files would be in its way.
            jconf.set("spark.sql.warehouse.dir", f"{mine['spark.sql.warehouse.dir']}-{self._contexts}")
        context.master = jconf.get("spark.master")
        # The workers inherit the JVM's environment: what was set since it started has to be told.
        for name, value in os.environ.items():
            if self._environ.get(name) != value and name not in _NOT_FOR_WORKERS:
                context.environment.setdefault(name, value)
        return original(jconf)

    def _get_or_create(self, original: Callable[[], Any], builder: Any) -> Any:
        # A SparkConf that was made in the running JVM, as pytest-spark's is, has the session's own settings too.
        known = self._options.items() | self._started_with.items() if self._options is not None else set()
        asked = {key: str(value) for key, value in builder._options.items()}.items() - known
        left_out = user_settings.leave_out(builder._options)
        for key in sorted(key for key, _value in asked if key in left_out):
            self._left_out(key)
        if self.is_used and self._options is not None:
            ignored = properties.jvm_start_options(dict(asked)).items()
            for key, _value in sorted(ignored):
                self._note(
                    f"{key}: ignored by a Spark that runs already; "
                    "give the test @pytest.mark.isolated_emr(conf=…) to have one started with it"
                )
        return original()

    def _create_judf(self, original: Callable[..., Any], function: Any, *args: Any) -> Any:
        self._udfs.add(function)
        return original(*args)

    def _left_out(self, key: str) -> None:
        self._note(f"{key}: set by the suite, left out, as it would lead out of the session")

    def _patch_method(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def method(instance: Any, *args: Any) -> Any:
            return around(lambda *inner: original(instance, *inner), instance, *args)

        method.__doc__, method.__name__ = original.__doc__, name
        self._patches.setattr(owner, name, method)


def import_pyspark() -> tuple[Any, Any, Any]:
    """Import the modules of PySpark that a runtime patches, and return them: of the context, of sessions, of UDFs."""
    return (
        _context_module(),
        importlib.import_module("pyspark.sql.session"),
        importlib.import_module("pyspark.sql.udf"),
    )


def _context_module() -> Any:
    try:
        return importlib.import_module("pyspark.core.context")
    except ModuleNotFoundError:
        # pyspark 3.5
        return importlib.import_module("pyspark.context")


def _settings_of(conf: Any) -> Properties:
    return submitted_settings() | (dict(conf.getAll()) if conf is not None else {})


def submitted_settings() -> Properties:
    """Return the settings of ``PYSPARK_SUBMIT_ARGS``."""
    return submit_settings(os.environ.get("PYSPARK_SUBMIT_ARGS", ""))
