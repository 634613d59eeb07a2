"""An isolated run: what happens at which moment of pytest's.

It is registered as a plugin only in a run with ``--isolated-emr``, in the process that owns the session and in each
xdist worker, which joins it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from pytest_isolated_emr import basetemp, settings
from pytest_isolated_emr.aws import interception
from pytest_isolated_emr.backend_options import backend_options
from pytest_isolated_emr.claims import claim_of_run
from pytest_isolated_emr.environment import Environment
from pytest_isolated_emr.errors import EXIT_NO_ENVIRONMENT, IsolatedEmrError, LeaseLapsed
from pytest_isolated_emr.kept_logs import KeptLogs
from pytest_isolated_emr.lifecycle.system_errors import in_words_here
from pytest_isolated_emr.run_context import RunContext
from pytest_isolated_emr.run_parts import RunMaker, maker_of
from pytest_isolated_emr.scratches import Scratches
from pytest_isolated_emr.session import OWNER, Session, session_to_join
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.runtime import import_pyspark
from pytest_isolated_emr.tests_clusters import TestsClusters
from pytest_isolated_emr.tests_spark import TestsSpark

_FAILED = pytest.StashKey[bool]()
_PLUGIN = "isolated_emr_run"


class IsolatedRun:
    """This process's part of the session."""

    def __init__(
        self,
        config: pytest.Config,
        chosen: Settings,
        maker: RunMaker,
        session: Session,
        key_of_spare: str,
    ) -> None:
        self._config = config
        self._key_of_spare = key_of_spare
        self._settings = chosen
        self._session = session
        self._notes: dict[str, None] = {}
        self._kept: list[str] = []
        self._problems: list[str] = []
        self._failures = 0
        self._has_tested = False
        self._missing = ""
        self._is_down = False
        kept_logs = KeptLogs(session, chosen.retention)
        self._context = RunContext(config, chosen, session, self._progress, self._note)
        made = maker.make(self._context, kept_logs)
        self._spark, self._keep_logs = made.spark, made.keep_logs
        self._guard = session.environment_guard(is_remote=self._spark.runtime.is_remote)
        self.scratches = Scratches(session, is_kept=self._is_kept, on_kept=self._on_kept)
        self.environment = Environment(session, self._spark.conf, self.scratches.of_session)
        self.tests_spark = TestsSpark(self._spark.runtime, kept_logs)
        self.tests_clusters = TestsClusters(made.clusters)

    @classmethod
    def start(cls, config: pytest.Config) -> None:
        """Start the session, or join it in an xdist worker, and register what this run does later.

        :param config: pytest's configuration, before the first conftest is imported.
        :raises IsolatedEmrError: there can be no session.
        :raises pytest.UsageError: a setting is wrong.
        """
        chosen = settings.read_settings(config)
        maker = maker_of(chosen)
        # An in-process pytest inside a test of a session is one of its own.
        joins = None if cls._active else session_to_join()
        key_of_spare = ""
        if joins is not None:
            session = Session.attach(*joins, chosen)
        else:
            key_of_spare = maker.key_of_spare(config)
            session = _own_session(config, chosen, maker.spark_version, key_of_spare)
        run = cls(config, chosen, maker, session, key_of_spare)
        cls._active += 1
        config.add_cleanup(run._close)
        run._guard.apply()
        if session.endpoint_url is not None and session.credentials is not None:
            interception.activate(session.endpoint_url, session.credentials)
        run._spark.runtime.install()
        config.pluginmanager.register(run, _PLUGIN)
        if cls._active == 1:
            # What is imported by now stays to the end, when the collector would look at all of it three times: a tenth of a
            # second of every run. Nothing of the suite's is among it yet.
            gc.freeze()

    #: How many runs there are in this process: more than one where a test runs pytest in its own process.
    _active = 0

    # pytest's moments

    def pytest_report_header(self) -> str:
        """Say what the run has, and why it is slow to start if it is."""
        python = ".".join(str(part) for part in sys.version_info[:3])
        spark, *rest = self._spark.header()
        parts = [
            f"isolated-emr: {self._session.backend}",
            spark,
            *rest,
            f"Python {python}",
            f"run {self._session.run_id}",
            "a spare was ready" if self._session.was_spare else "",
            *self._session.aws_notes,
        ]
        return ", ".join(filter(None, parts))

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Have temporary files where the session's Spark sees them already."""
        if self._session.basetemp:
            basetemp.use(config, Path(self._session.basetemp))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Begin to start Spark, which comes up while pytest collects."""
        if not self._config.option.collectonly:
            with self._no_environment_is_the_end():
                self._spark.begin()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Begin to start what a test needs."""
        if not self._config.option.collectonly:
            with self._no_environment_is_the_end():
                self._spark.item_collected(item)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """See that all is there before the first test; give Spark up where there is nothing to run."""
        with self._no_environment_is_the_end():
            if not session.items or _ends_for_errors(session):
                self._spark.runtime.give_up()
            elif not self._config.option.collectonly:
                self._spark.has_collected(session.items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Give the test a Spark that lives, with the settings that it is marked with."""
        if self._session.endpoint_url is None and not self._missing:
            self._stop_if_lost(item.session)
        if self._missing:
            pytest.fail(self._missing, pytrace=False)
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
        """Add to a failed test's report what Spark printed meanwhile, and that its AWS has ended if it has."""
        report: pytest.TestReport = yield  # type: ignore[assignment]
        if report.failed:
            item.stash[_FAILED] = True
            try:
                report.sections.extend(self.tests_spark.report())
                report.sections.extend(self.tests_clusters.report())
                if self._session.endpoint_url is not None and not self._missing:
                    # What the test has met itself is a port at which nobody listens.
                    self._session.client.request("ready")
            except IsolatedEmrError as error:
                report.sections.append(("isolated-emr", str(error)))
        return report  # type: ignore[return-value]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what failed, here or in an xdist worker."""
        self._failures += report.failed
        self._has_tested = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Take the environment away, when all fixtures are torn down and before the summary is written."""
        if self._missing:
            session.exitstatus = EXIT_NO_ENVIRONMENT
        if self._session.worker == OWNER and self._has_tested:
            self._note(self._spark.warm_later_runs())
        self._take_down()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Take over what an xdist worker has to say in the summary."""
        told = getattr(node, "workeroutput", {}).get(_PLUGIN, {})
        for line in told.get("lines", ()):
            self._note(line)
        self._missing = self._missing or told.get("missing", "")

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

    def _progress(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        # Where a fixture waits, pytest has the terminal's streams.
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            reporter.write_line(f"isolated-emr: {text}")

    def _note(self, text: str) -> None:
        if text:
            # A dictionary, as a set that remembers the order.
            self._notes[text] = None

    def _is_kept(self, item: pytest.Item | None) -> bool:
        failed = self._failures > 0 if item is None else item.stash.get(_FAILED, False)
        return self._settings.retention == "all" or (self._settings.retention == "failed" and failed)

    def _on_kept(self, whose: str, directory: Path) -> None:
        self._kept.append(f"kept: {whose}: {directory}")

    @contextmanager
    def _no_environment_is_the_end(self) -> Iterator[None]:
        """End pytest with a return code of its own where the environment cannot be had."""
        try:
            yield
        except (IsolatedEmrError, OSError) as error:
            told = in_words_here(error)
            if told is None:
                raise
            if not hasattr(self._config, "workeroutput"):
                pytest.exit(str(told), returncode=EXIT_NO_ENVIRONMENT)
            # An xdist worker that exits is a crash to its controller. So each of its tests is an error that says why.
            self._missing = str(told)

    def _stop_if_lost(self, session: pytest.Session) -> None:
        """Have this test be the last one where the run has no right to its place on AWS any more, whatever tests would do there."""
        try:
            self._session.client.request("ready")
        except LeaseLapsed as error:
            self._missing = str(error)
            if not hasattr(self._config, "workeroutput"):
                # In order, so that the summary says what is left. Each test of an xdist worker is an error that says why.
                session.shouldstop = self._missing.splitlines()[0]
        except IsolatedEmrError:
            # Something else is gone; a test that needs it is told so by its fixture.
            return

    def _take_down(self) -> None:
        if self._is_down:
            return
        self._is_down = True
        try:
            self._attempt(self._spark.uninstall)
            self._attempt(self.scratches.end_session)
            if self._session.worker == OWNER:
                if self._is_kept(None):
                    self._attempt(self._keep)
                self._attempt(self._end_session)
        finally:
            self._session.client.close()
        if hasattr(self._config, "workeroutput"):
            lines = [*self._kept, *self._notes, *self._problems]
            self._config.workeroutput[_PLUGIN] = {"lines": lines, "missing": self._missing}

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take a step of the end; what follows has to be done as well, whatever becomes of it."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the user is told of it
            problem = (
                str(error) if isinstance(error, IsolatedEmrError) else f"{type(error).__name__}: {error}"
            )
            if problem not in self._problems:
                self._problems.append(problem)

    def _keep(self) -> None:
        self._kept += self._keep_logs()

    def _end_session(self) -> None:
        if self._key_of_spare and self._has_tested:
            self._leave_spare()
        problems, notes = self._session.close(self._context.show_wait)
        self._problems += problems
        for note in notes:
            self._note(note)

    def _leave_spare(self) -> None:
        """Order a spare for the next run; the end of this one does not depend on it."""
        try:
            self._session.client.request(
                "leave_spare",
                key=self._key_of_spare,
                idle_seconds=self._settings.spare_idle,
                basetemp=basetemp.of_run(self._config),
            )
        except IsolatedEmrError as error:
            self._note(f"the next run finds no spare: {error}")

    def _close(self) -> None:
        """Put everything of this process back, however far the run came."""
        try:
            self._take_down()
        finally:
            interception.deactivate()
            self._guard.restore()
            type(self)._active -= 1


def _ends_for_errors(session: pytest.Session) -> bool:
    """Tell whether pytest ends now, as a module could not be collected: nobody should wait for a cluster to hear of that.

    A worker of pytest-xdist runs the tests of the other modules.
    """
    goes_on = session.config.option.continue_on_collection_errors or hasattr(session.config, "workerinput")
    return session.testsfailed > 0 and not goes_on


def _own_session(config: pytest.Config, chosen: Settings, spark_version: str, key_of_spare: str) -> Session:
    """Return a session that this process owns: a spare if one is ready, else a new one."""
    options = backend_options(chosen, spark_version)
    claim = claim_of_run(config, chosen)

    def progress(text: str) -> None:
        capture = config.pluginmanager.get_plugin("capturemanager")
        # There is no terminal's reporter yet.
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            print(f"isolated-emr: {text}", file=sys.stderr, flush=True)

    if key_of_spare:
        spare = Session.claim(chosen, sys.argv, options, key_of_spare, claim, progress)
        if spare is not None:
            return spare
    keeper = Session.launch_keeper(chosen)
    try:
        # A fifth of a second, in which the keeper comes up.
        import_pyspark()
    except BaseException:
        keeper.close()
        raise
    return Session.start(chosen, sys.argv, keeper, options, claim, progress)
