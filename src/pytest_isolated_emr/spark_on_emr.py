"""A run's Spark on an EMR cluster of its own, which starts when a test needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pytest_isolated_emr.emr import releases
from pytest_isolated_emr.emr.releases import Release
from pytest_isolated_emr.emr_settings import EmrSettings
from pytest_isolated_emr.errors import IsolatedEmrError
from pytest_isolated_emr.run_context import RunContext
from pytest_isolated_emr.spark import properties
from pytest_isolated_emr.spark.base import Runtime
from pytest_isolated_emr.visible_files import suite_path

#: Fixtures of ours, and of pytest-spark by the same names, for which there has to be a cluster.
_FIXTURES = frozenset({"spark", "spark_session", "spark_context", "emr_cluster", "run_step"})
_CATALOG = "spark.sql.catalogImplementation"
_WAREHOUSE = "spark.sql.warehouse.dir"
#: Between two looks at what xdist workers wait for.
_TELL_SECONDS = 5.0


class SparkOnEmr:
    """One process's part of it.

    :param context: of the run.
    :param settings: of the emr backend.
    :param release: the cluster's.
    :param spark_version: that of the installed pyspark.
    :param start_cluster: has the keeper begin the cluster, once.
    """

    def __init__(
        self,
        context: RunContext,
        settings: EmrSettings,
        release: Release,
        spark_version: str,
        start_cluster: Callable[[], None],
    ) -> None:
        self._context = context
        self._settings = settings
        self._release = release
        self._version = spark_version
        self._start_cluster = start_cluster
        self._is_needed = False
        self._is_over = threading.Event()
        self._telling = threading.Thread(target=self._tell, name="isolated-emr progress", daemon=True)
        self.runtime: Runtime = self._make_runtime()

    def header(self) -> list[str]:
        """Return what the header says of it: the versions, and what the cluster is made of."""
        settings = self._settings
        spark = f"Spark {self._version}"
        if not self._release.runs(self._version):
            spark += f" here, {self._release.spark} on the cluster"
        spot = " spot" if settings.spot else ""
        return [
            spark,
            self._release.label,
            f"{settings.instance_count} x {settings.instance_type}{spot}, at most {settings.most_minutes} min",
        ]

    def begin(self) -> None:
        """Start the cluster now, if that is asked for."""
        if self._settings.starts_at_once:
            self._start_cluster()
        if self._context.config.pluginmanager.hasplugin("dsession"):
            self._telling.start()

    def item_collected(self, item: Any) -> None:
        """Start the cluster if the test needs it, while the rest of collection goes on."""
        if not self._is_needed and not self._selects and _needs_cluster(item):
            self._need()

    def has_collected(self, items: Sequence[Any]) -> None:
        """Start the cluster if one of the tests that are left needs it, and wait for it."""
        self.runtime.has_collected(items)
        if not self._is_needed and any(map(_needs_cluster, items)):
            self._need()
        if self._is_needed or self._settings.starts_at_once:
            self._context.wait_for_backend()
        self._context.session.client.request("ready")

    def conf(self) -> dict[str, str]:
        """Return the settings that a session starts with, as conftests' hook changed them; all others are the cluster's."""
        conf: dict[str, str] = (
            {} if self._has_catalog else {_CATALOG: "in-memory", _WAREHOUSE: self._warehouse}
        )
        config = self._context.config
        config.hook.pytest_isolated_emr_spark_conf(config=config, conf=conf)
        return {key: properties.text_of(value) for key, value in conf.items()}

    def warm_later_runs(self) -> str:
        """Do nothing: nothing of a cluster stays."""
        return ""

    def uninstall(self) -> None:
        """Let go of it, and leave this process as it was."""
        self.runtime.uninstall()
        self._is_over.set()
        if self._telling.is_alive():
            self._telling.join()

    def _tell(self) -> None:
        """Show what workers wait for, who have no terminal."""
        while not self._is_over.wait(_TELL_SECONDS):
            try:
                self._context.look_at_backend()
            except IsolatedEmrError:
                # Whoever needs it hears of it.
                return

    def wait_for_cluster(self) -> None:
        """Have the cluster started, and wait for it.

        :raises IsolatedEmrError: it cannot be had.
        """
        self._start_cluster()
        self._context.wait_for_backend()

    @property
    def _has_catalog(self) -> bool:
        """Whether the cluster is configured to have a certain one. Else each worker has its own, as on the other backends."""
        return any(
            configuration.get("Classification") == "spark-hive-site"
            or _CATALOG in (configuration.get("Properties") or {})
            for configuration in self._settings.configurations
        )

    @property
    def _warehouse(self) -> str:
        """Where this process's tables are. The cluster's own warehouse is one for all workers, whose catalogs do not know of
        each other's tables."""
        session = self._context.session
        return f"s3://{session.bucket}/{session.prefix}/{session.worker}/warehouse"

    @property
    def _selects(self) -> bool:
        """Whether tests that are collected may be left out, so that a cluster would be for nothing."""
        option = self._context.config.option
        names = ("keyword", "markexpr", "deselect", "lf", "stepwise")
        return any(getattr(option, name, None) for name in names)

    def _need(self) -> None:
        self._is_needed = True
        self._start_cluster()

    def _make_runtime(self) -> Runtime:
        context = self._context
        if not releases.has_sessions(self._release.label):
            from pytest_isolated_emr.spark.no_sessions import NoSessionsRuntime

            return NoSessionsRuntime(self._release.label)
        from pytest_isolated_emr.spark.connect.emr_access import EmrAccess
        from pytest_isolated_emr.spark.connect.modules import SuiteModules
        from pytest_isolated_emr.spark.connect.runtime import ConnectRuntime

        access = EmrAccess(
            context.session.client,
            defaults=self.conf,
            python_path=suite_path,
            note=context.note,
            wait_for_cluster=self.wait_for_cluster,
            progress=context.show_wait,
        )
        return ConnectRuntime(
            context.session.client,
            access=access,
            modules=SuiteModules(
                context.session.worker_directory, context.note, python_files=self._settings.python_files
            ),
            note=context.note,
        )


def _needs_cluster(item: Any) -> bool:
    """Tell whether a test needs it, as far as that shows: by the fixtures of ours, or as PySpark is in what it, or one of
    its fixtures, is written in. One of which it does not show gets the cluster when it asks for it."""
    if _FIXTURES & set(getattr(item, "fixturenames", ())):
        return True
    info = getattr(item, "_fixtureinfo", None)
    definitions = getattr(info, "name2fixturedefs", {}).values()
    functions = [getattr(item, "function", None), *(each.func for found in definitions for each in found)]
    return any(_has_pyspark(getattr(function, "__globals__", {})) for function in functions)


def _has_pyspark(names: dict[str, Any]) -> bool:
    return any(
        str(getattr(value, "__module__", "") or getattr(value, "__name__", "")).partition(".")[0] == "pyspark"
        for value in list(names.values())
    )
