"""The fixtures. Each works only in a run with ``--isolated-emr`` and says so elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_isolated_emr.environment import Environment
    from pytest_isolated_emr.run import IsolatedRun
    from pytest_isolated_emr.scratch import Scratch
    from pytest_isolated_emr.tests_clusters import StepResult

_RUN_PLUGIN = "isolated_emr_run"


def _run(request: pytest.FixtureRequest) -> IsolatedRun:
    run: IsolatedRun | None = request.config.pluginmanager.get_plugin(_RUN_PLUGIN)
    if run is None:
        from pytest_isolated_emr.errors import NotEnabled

        error = NotEnabled(
            f"The fixture {request.fixturename!r} needs an isolated environment, and this run has none.",
            checked="--isolated-emr is not given, and ini has no isolated_emr = true",
            cure="Run `pytest --isolated-emr`, or set isolated_emr = true in the ini file.",
        )
        pytest.fail(str(error), pytrace=False)
    return run


@pytest.fixture(scope="session")
def isolated_emr(request: pytest.FixtureRequest) -> Environment:
    """The run's environment: its run id, endpoint, region, boto3 clients, Spark settings."""
    return _run(request).environment


@pytest.fixture(scope="session")
def spark_session(request: pytest.FixtureRequest) -> Any:
    """The Spark session that all tests of this process share."""
    return _run(request).tests_spark.shared_session()


@pytest.fixture
def spark(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A fresh Spark session for this test; what the test leaves in Spark is removed after it."""
    with _run(request).tests_spark.fresh_session() as session:
        yield session


@pytest.fixture
def scratch(request: pytest.FixtureRequest) -> Iterator[Scratch]:
    """A unique S3 prefix and local directory for this test."""
    with _run(request).scratches.for_test(request.node) as place:
        yield place


@pytest.fixture(scope="session")
def session_scratch(request: pytest.FixtureRequest) -> Scratch:
    """A unique S3 prefix and local directory for all tests of this process."""
    return _run(request).scratches.of_session()


@pytest.fixture(scope="session")
def aws_client(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A factory of boto3 clients of the run's private AWS: ``aws_client("sqs")``."""
    return _run(request).environment.client


@pytest.fixture(scope="session")
def s3(request: pytest.FixtureRequest) -> Any:
    """A boto3 S3 client of the run's private AWS."""
    return _run(request).environment.client("s3")


@pytest.fixture(scope="session")
def emr(request: pytest.FixtureRequest) -> Any:
    """A boto3 EMR client of the run's private AWS, whose clusters run their steps."""
    return _run(request).environment.client("emr")


@pytest.fixture(scope="session")
def emr_cluster(request: pytest.FixtureRequest) -> str:
    """The id of a waiting EMR cluster that all tests of this process share."""
    return _run(request).tests_clusters.shared_cluster()


@pytest.fixture
def make_cluster(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """A factory of EMR clusters for this test: it takes RunJobFlow's arguments and returns a cluster's id."""
    clusters = _run(request).tests_clusters
    # Past the failure of one, the others are ended too.
    with ExitStack() as made:

        def make(**run_job_flow: Any) -> str:
            cluster_id = clusters.make_cluster(**run_job_flow)
            made.callback(clusters.terminate, cluster_id)
            return cluster_id

        yield make


@pytest.fixture
def run_step(request: pytest.FixtureRequest) -> Callable[..., StepResult]:
    """Run a command as a step of ``emr_cluster``, and return its output: ``run_step("spark-submit", job)``."""
    clusters = _run(request).tests_clusters

    def run(*command: str, cluster: str = "", **options: Any) -> StepResult:
        on = cluster or request.getfixturevalue("emr_cluster")
        return clusters.run_step(on, *command, **options)

    return run


_FIXTURES = {
    "aws_client": aws_client,
    "emr": emr,
    "emr_cluster": emr_cluster,
    "isolated_emr": isolated_emr,
    "make_cluster": make_cluster,
    "run_step": run_step,
    "s3": s3,
    "scratch": scratch,
    "session_scratch": session_scratch,
    "spark": spark,
    "spark_session": spark_session,
}


def names_of_others(plugins: Iterable[object]) -> set[str]:
    """Return the names of fixtures that plugins define. A conftest's need no care: it wins over every plugin.

    :param plugins: all that are registered.
    """
    modules = (vars(plugin) for plugin in plugins if isinstance(plugin, ModuleType))
    return {
        name
        for module in modules
        if Path(module.get("__file__") or "").name != "conftest.py"
        for name, value in module.items()
        if name in _FIXTURES and _is_fixture(value)
    }


def _is_fixture(value: object) -> bool:
    # pytest 8.4 gave fixtures a type of their own; before, they were functions with a mark.
    return type(value).__name__ == "FixtureFunctionDefinition" or hasattr(value, "_pytestfixturefunction")


def provider(taken: Collection[str]) -> ModuleType:
    """Return a plugin with the fixtures, but for names that are somebody else's.

    :param taken: those names.
    """
    plugin = ModuleType("isolated_emr_fixtures")
    vars(plugin).update({name: fixture for name, fixture in _FIXTURES.items() if name not in taken})
    return plugin
