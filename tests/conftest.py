"""What all tests share: a state root of their own, and real pytest runs in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from pytest_isolated_emr.backends import machine_removers
from pytest_isolated_emr.lifecycle.processes import end_tree, processes_with
from pytest_isolated_emr.lifecycle.state_root import CACHE_VARIABLE, StateRoot
from pytest_isolated_emr.lifecycle.sweep import sweep
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.wiring import SparkWiring
from tests.amazon import Amazon, amazon
from tests.backends import BACKENDS, WITH_SPARK
from tests.spares.by_spare import RunBySpare, live, wait_for

pytest_plugins = ["pytester"]

#: With it in the environment, whatever can run by a spare does.
BY_SPARE = "TEST_BY_SPARE"

# Nothing of a test may take longer, with everything else that the machine does.
TIMEOUT = 900

#: For tests with the mark ``spark`` of what Spark has little to do with: ``make test`` runs them under one version.
UNDER_ONE_SPARK = pytest.mark.thorough if version("pyspark").startswith("3.") else pytest.mark.spark

#: Hypothesis' plugin imports all of it at the end of each run, which takes longer than many a run of these tests.
WITHOUT_HYPOTHESIS = "-p no:hypothesispytest"


@pytest.fixture(scope="session", autouse=True)
def cache() -> Iterator[None]:
    """Have all sessions of tests use this user's own cache, as those of a user do."""
    root = StateRoot.from_environment()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(root.cache or root.path))
        yield


@pytest.fixture(scope="session")
def jar_cache(cache: None) -> Path:
    """The directory with the jars that the installed Spark needs, beside the archive of its classes."""
    root = StateRoot.from_environment()
    root.open()
    # With it a JVM starts in half the time, and has used half of the processor.
    SparkWiring(Settings(), dict(os.environ)).class_data(print).make(print)
    return root.jars


@pytest.fixture(params=WITH_SPARK)
def on_backend(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The arguments of a run, once on each backend."""
    return BACKENDS[request.param]


@pytest.fixture(params=["local", "docker"])
def on_machine(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The same for what holds on this machine alone, where AWS is the session's own."""
    return BACKENDS[request.param]


def make_home(home: Path, jar_cache: Path) -> Path:
    """Make a state root with the jars in its cache."""
    shutil.copytree(jar_cache, home / "jars", copy_function=os.link)
    home.chmod(0o700)
    return home


@pytest.fixture
def home(tmp_path: Path, jar_cache: Path) -> Path:
    """A state root for one test."""
    return make_home(tmp_path / "home", jar_cache)


@pytest.fixture(scope="session", name="amazon")
def amazon_of_tests(tmp_path_factory: pytest.TempPathFactory, jar_cache: Path) -> Iterator[Amazon]:
    """What stands in for Amazon's AWS."""
    with amazon(make_home(tmp_path_factory.mktemp("amazon") / "home", jar_cache)) as it:
        yield it


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the test's state root be its own cache, as a new user's is: with jars, and no archive."""
    monkeypatch.setenv(CACHE_VARIABLE, "")


@pytest.fixture
def root(tmp_path: Path) -> StateRoot:
    """An open state root for one test, with nothing in it."""
    root = StateRoot(tmp_path / "state")
    root.open()
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project's directory."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    return project


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_pytest(home: Path, project: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start pytest in the project with the given arguments; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *arguments: str, python: str = sys.executable, stdin: int = subprocess.DEVNULL, **variables: str
    ) -> subprocess.Popen[str]:
        environ = environ_of_run(home) | variables
        if "--isolated-emr-backend=emr" in arguments:
            environ = {**request.getfixturevalue("amazon").variables, **environ}
        process = subprocess.Popen(
            [python, "-m", "pytest", *arguments],
            cwd=project,
            env=environ,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    if (home / "spares").exists():
        end_all_in(home)


def environ_of_run(home: Path) -> dict[str, str]:
    """Return the environment of a run with a state root of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AWS_"))}
    return environ | {
        "ISOLATED_EMR_HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": WITHOUT_HYPOTHESIS,
        "COLUMNS": "200",
        # Nothing made for later runs: each has a state root of its own.
        "CI": "true",
    }


def end_all_in(home: Path) -> None:
    """End whatever runs with this state root: spares, and keepers that are about to start one."""
    assert end_tree(processes_with("ISOLATED_EMR_HOME", str(home))) == []
    # The kernel has a killed process with threads for dead, a moment before its last thread lets go of the lock.
    wait_for(lambda: not list(live(home)), f"the end of all that was killed in {home}")
    # A spare in a container has a network, of which an engine has some thirty.
    report = sweep(StateRoot(home), delete=True, removers=machine_removers())
    assert (report.failed, [each for each in report.reported if each.standing != "kept"]) == ([], [])


Run = Callable[..., "Finished"]


class Finished:
    """A pytest run that has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.output = process.communicate(timeout=TIMEOUT)[0]
        self.code = process.returncode

    def assert_passed(self, count: int) -> None:
        assert self.code == 0, self.output
        assert f"{count} passed" in self.output, self.output
        for word in (" skipped", " xfailed", " error"):
            assert word not in self.output.rsplit("\n", 2)[-2], self.output


@pytest.fixture
def run_pytest(start_pytest: Start, request: pytest.FixtureRequest) -> Run:
    """Run pytest in the project to its end; by a spare where the test is marked so, or all tests are to be."""

    def run(*arguments: str, **options: str) -> Finished:
        return Finished(start_pytest(*arguments, **options))

    if request.node.get_closest_marker("by_spare") or os.environ.get(BY_SPARE):
        return RunBySpare(run, request.getfixturevalue("home"), request.getfixturevalue("project"))
    return run
