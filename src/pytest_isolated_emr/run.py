"""An isolated run: what happens at which moment of pytest's.

It is registered as a plugin only in a run with ``--isolated-emr``, in the process that owns the session and in each
xdist worker, which joins it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr import errors, settings
from pytest_isolated_emr.aws import interception
from pytest_isolated_emr.backend_options import backend_options, image_of
from pytest_isolated_emr.clusters_here import ClustersHere
from pytest_isolated_emr.emr import releases
from pytest_isolated_emr.environment import Environment
from pytest_isolated_emr.errors import EXIT_NO_ENVIRONMENT, IsolatedEmrError
from pytest_isolated_emr.kept_logs import KeptLogs
from pytest_isolated_emr.scratches import Scratches
from pytest_isolated_emr.session import OWNER, Session, session_to_join
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark import properties
from pytest_isolated_emr.spark.base import Runtime
from pytest_isolated_emr.spark.runtime import SparkRuntime, import_pyspark
from pytest_isolated_emr.spark.wiring import SparkWiring
from pytest_isolated_emr.tests_clusters import TestsClusters
from pytest_isolated_emr.tests_spark import TestsSpark
from pytest_isolated_emr.visible_files import visible_files

_FAILED = pytest.StashKey[bool]()
_PLUGIN = "isolated_emr_run"


class IsolatedRun:
    """This process's part of the session."""

    def __init__(
        self, config: pytest.Config, chosen: Settings, wiring: SparkWiring, session: Session
    ) -> None:
        self._config = config
        self._settings = chosen
        self._wiring = wiring
        self._session = session
        self._guard = session.environment_guard()
        self._notes: dict[str, None] = {}
        self._kept: list[str] = []
        self._problems: list[str] = []
        self._failures = 0
        self._has_tested = False
        self._is_down = False
        self._patches = pytest.MonkeyPatch()
        self._runtime = self._make_runtime()
        self.scratches = Scratches(session, is_kept=self._is_kept, on_kept=self._on_kept)
        self.environment = Environment(session, self._spark_conf, self.scratches.of_session)
        self._kept_logs = KeptLogs(session, chosen.retention)
        self.tests_spark = TestsSpark(self._runtime, self._kept_logs)
        self._release = releases.of(chosen.release, wiring.installation.version)
        self.tests_clusters = TestsClusters(ClustersHere(session, self._release.label, self._kept_logs))

    @classmethod
    def start(cls, config: pytest.Config) -> None:
        """Start the session, or join it in an xdist worker, and register what this run does later.

        :param config: pytest's configuration, before the first conftest is imported.
        :raises IsolatedEmrError: there can be no session.
        :raises pytest.UsageError: a setting is wrong.
        """
        chosen = settings.read_settings(config)
        if chosen.backend == "emr":
            raise pytest.UsageError(
                "--isolated-emr-backend: 'emr' cannot run tests yet; --isolated-emr-dry-run prints what it would launch"
            )
        wiring = SparkWiring(chosen, dict(os.environ))
        # An in-process pytest inside a test of a session is one of its own.
        joins = None if cls._active else session_to_join()
        if joins is not None:
            session = Session.attach(*joins, chosen)
        else:
            keeper = Session.launch_keeper()
            try:
                # A fifth of a second, in which the keeper comes up.
                import_pyspark()
            except BaseException:
                keeper.close()
                raise
            options = backend_options(chosen, wiring.installation.version)
            session = Session.start(chosen, sys.argv, keeper, options)
        run = cls(config, chosen, wiring, session)
        cls._active += 1
        config.add_cleanup(run._close)
        run._guard.apply()
        interception.activate(session.endpoint_url, session.credentials)
        run._runtime.install()
        config.pluginmanager.register(run, _PLUGIN)

    #: How many runs there are in this process: more than one where a test runs pytest in its own process.
    _active = 0

    # pytest's moments

    def pytest_report_header(self) -> str:
        """Say what the run has, and why it is slow to start if it is."""
        python = ".".join(str(part) for part in sys.version_info[:3])
        parts = [
            f"isolated-emr: {self._session.backend}",
            self._spark_and_release(),
            self._java_or_image(),
            f"Python {python}",
            f"run {self._session.run_id}",
            self._wiring.slow_start(),
        ]
        return ", ".join(filter(None, parts))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Start Spark, which comes up while pytest collects."""
        try:
            if not self._config.option.collectonly:
                # An image may be what the jars are fetched with.
                self._wait_for_backend()
                if self._session.backend != "local":
                    self._share_temporary_files()
                self._wiring.fetch_jars(self._progress)
                if not self._config.pluginmanager.hasplugin("dsession"):
                    self._runtime.start()
                conf = self._spark_conf()
                self._wiring.write_configuration(Path(os.environ["SPARK_CONF_DIR"]), conf)
                if self._session.worker == OWNER:
                    self._offer_spark(conf)
        except IsolatedEmrError as error:
            pytest.exit(str(error), returncode=EXIT_NO_ENVIRONMENT)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """See that the endpoint answers before the first test; give Spark up where there is nothing to run."""
        try:
            if not session.items:
                self._runtime.give_up()
            elif not self._config.option.collectonly:
                self._runtime.has_collected(session.items)
                self._session.client.request("ready")
        except IsolatedEmrError as error:
            pytest.exit(str(error), returncode=EXIT_NO_ENVIRONMENT)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Give the test a Spark that lives, with the settings that it is marked with."""
        self.tests_clusters.forget()
        self.tests_spark.prepare(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        """Note who holds on to Spark."""
        result = yield
        self.tests_spark.remember(fixturedef, request)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """Add to a failed test's report what Spark printed meanwhile."""
        report: pytest.TestReport = yield  # type: ignore[assignment]
        if report.failed:
            item.stash[_FAILED] = True
            try:
                report.sections.extend(self.tests_spark.report())
                report.sections.extend(self.tests_clusters.report())
            except errors.KeeperDied as error:
                report.sections.append(("isolated-emr", str(error)))
        return report  # type: ignore[return-value]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what failed, here or in an xdist worker."""
        self._failures += report.failed
        self._has_tested = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Take the environment away, when all fixtures are torn down and before the summary is written."""
        self._take_down()
        if self._session.worker == OWNER and self._has_tested:
            self._warm_later_runs()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Take over what an xdist worker has to say in the summary."""
        for line in getattr(node, "workeroutput", {}).get(_PLUGIN, []):
            self._note(line)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was kept and where, what was overridden, and what could not be removed."""
        lines = [*self._kept, *self._notes]
        lines += [f"could not be removed: {problem}" for problem in self._problems]
        if self._problems:
            lines.append("to remove it: isolated-emr sweep --delete")
        if lines:
            terminalreporter.section("isolated-emr")
            for line in lines:
                terminalreporter.write_line(line)

    # What it consists of

    def _make_runtime(self) -> Runtime:
        wiring = self._wiring
        common: dict[str, Any] = {
            "spark_home": wiring.installation.home,
            "defaults": self._spark_conf,
            "timeout": self._settings.start_timeout,
            "note": self._note,
        }
        if self._session.backend == "local":
            return SparkRuntime(
                self._session.client,
                for_jvm=lambda wanted, environ: wiring.for_jvm(wanted, environ, self._progress),
                **common,
            )
        # Most runs are local ones, and have no use for these.
        from pytest_isolated_emr.spark.connect.modules import SuiteModules
        from pytest_isolated_emr.spark.connect.runtime import ConnectRuntime

        return ConnectRuntime(
            self._session.client,
            for_server=lambda wanted, environ: wiring.for_server(wanted, environ, self._progress),
            modules=SuiteModules(self._session.worker_directory, self._note),
            files=lambda: visible_files(self._config, self._session, wiring.jar_cache),
            **common,
        )

    def _share_temporary_files(self) -> None:
        """Have temporary files of this process where its Spark sees them."""
        # pytest's own stay where they are, and are seen there.
        visible_files(self._config, self._session, self._wiring.jar_cache)
        directory = self._session.worker_directory / "tempfile"
        directory.mkdir(mode=0o700)
        self._patches.setattr(tempfile, "tempdir", str(directory))
        self._patches.setenv("TMPDIR", str(directory))

    def _wait_for_backend(self) -> None:
        """Wait until Spark can be started: for the pull of an image, say."""
        while waits_for := self._session.client.request("waits_for")["waits_for"]:
            self._progress(waits_for)

    def _spark_and_release(self) -> str:
        version = self._wiring.installation.version
        if self._release.runs(version):
            return f"Spark {version}"
        return f"Spark {version} ({self._release.label} has {self._release.spark})"

    def _java_or_image(self) -> str:
        if self._session.backend == "docker":
            return f"image {image_of(self._settings, self._wiring.installation.version)}"
        return f"Java {self._wiring.java.version}"

    def _spark_conf(self) -> dict[str, str]:
        own = self._wiring.defaults(self._session, self._progress, self._note)
        conf = dict(own)
        self._config.hook.pytest_isolated_emr_spark_conf(config=self._config, conf=conf)
        held, left_out = properties.split_protected({key: str(value) for key, value in conf.items()})
        for key in left_out:
            if conf[key] != own.get(key):
                self._note(f"{key}: set by a conftest, left out, as it would lead out of the session")
        return properties.merged(own, held)

    def _offer_spark(self, conf: dict[str, str]) -> None:
        """Tell the keeper what Spark the session's EMR clusters use."""
        spark = self._wiring.cluster_spark(self._session, conf, os.environ)
        files = visible_files(self._config, self._session, self._wiring.jar_cache)
        self._session.client.request("offer_spark", spark=spark.to_message(), files=files.to_message())

    def _warm_later_runs(self) -> None:
        try:
            making = self._wiring.warm_later_runs()
        except (OSError, subprocess.SubprocessError) as error:
            making = f"Spark's classes could not be archived for later runs: {error}"
        if making:
            self._note(making)

    def _progress(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"isolated-emr: {text}")

    def _note(self, text: str) -> None:
        # A dictionary, as a set that remembers the order.
        self._notes[text] = None

    def _is_kept(self, item: pytest.Item | None) -> bool:
        failed = self._failures > 0 if item is None else item.stash.get(_FAILED, False)
        return self._settings.retention == "all" or (self._settings.retention == "failed" and failed)

    def _on_kept(self, whose: str, directory: Path) -> None:
        self._kept.append(f"kept: {whose}: {directory}")

    def _take_down(self) -> None:
        if self._is_down:
            return
        self._is_down = True
        try:
            self._runtime.uninstall()
            self._patches.undo()
            self.scratches.end_session()
            if self._session.worker == OWNER:
                if self._is_kept(None):
                    self._kept += self._kept_logs.keep()
                self._problems += self._session.client.request("close")["problems"]
        except errors.KeeperDied as error:
            self._problems.append(str(error))
        finally:
            self._session.client.close()
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_PLUGIN] = [*self._kept, *self._notes, *self._problems]

    def _close(self) -> None:
        """Put everything of this process back, however far the run came."""
        self._take_down()
        interception.deactivate()
        self._guard.restore()
        type(self)._active -= 1
