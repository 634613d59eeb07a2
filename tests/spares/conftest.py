"""A suite whose runs leave spares: one for all tests of a file, as each run leaves the next test its spare."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.lifecycle.state_root import StateRoot
from tests.conftest import TIMEOUT, Finished, end_all_in, environ_of_run, make_home
from tests.spares.by_spare import WARM, Spare, live, ready_spares, wait_for_spare

SIMPLE = "def test_it(spark):\n    assert spark.range(3).count() == 3\n"


class Suite:
    """A project with a state root of its own."""

    def __init__(self, directory: Path, jar_cache: Path) -> None:
        self.home = make_home(directory / "home", jar_cache)
        self.root = StateRoot(self.home)
        self.project = directory / "project"
        self.project.mkdir()
        self.facts = directory / "facts"
        self.write("[pytest]\naddopts = -p no:cacheprovider -p no:spark --isolated-emr\n", "pytest.ini")

    def write(self, text: str, name: str = "test_it.py") -> None:
        (self.project / name).write_text(text)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=self.project,
            env=environ_of_run(self.home) | {"CI": "", "FACTS": str(self.facts)} | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> Finished:
        """Run it to its end; it leaves a spare."""
        return Finished(self.start(*(arguments or (WARM,)), **variables))

    def told(self) -> Any:
        """Return what a test of the last run has written."""
        return json.loads(self.facts.read_text())

    def spare(self, *arguments: str, **variables: str) -> Spare:
        """Return the one spare that waits, made by a run if there is none."""
        if not any(state != "session" for _, state in live(self.home)):
            self.write(SIMPLE)
            self.run(*arguments, **variables).assert_passed(1)
        return wait_for_spare(self.home)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``isolated-emr``."""
        return subprocess.run(
            [sys.executable, "-m", "pytest_isolated_emr.cli", *arguments],
            env=environ_of_run(self.home),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    def has_spare(self) -> bool:
        return bool(ready_spares(self.home))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, jar_cache: Path) -> Iterator[Suite]:
    suite = Suite(tmp_path_factory.mktemp("suite"), jar_cache)
    yield suite
    end_all_in(suite.home)


@pytest.fixture
def suite(shared: Suite) -> Suite:
    """The suite, as it was at first but for the spare that the test before may have left."""
    for path in shared.project.iterdir():
        if path.name != "pytest.ini" and path.is_file():
            path.unlink()
    shared.facts.unlink(missing_ok=True)
    return shared


@pytest.fixture
def alone(tmp_path: Path, jar_cache: Path) -> Iterator[Suite]:
    """A suite with no spare."""
    suite = Suite(tmp_path, jar_cache)
    yield suite
    end_all_in(suite.home)
