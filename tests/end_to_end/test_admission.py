"""Runs that find the machine taken wait for their turn, are told for whom, and start as soon as somebody ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_isolated_emr.lifecycle.admission import tickets
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from tests.conftest import Finished, Start, environ_of_run
from tests.spares.by_spare import wait_for

# Each run says that it is there, and stays until it is told to go.
TEST = """
import os, pathlib, time

def test_it(isolated_emr, s3):
    here = pathlib.Path(os.environ["HERE"])
    here.with_suffix(".runs").write_text(isolated_emr.run_id)
    while not here.with_suffix(".go").exists():
        time.sleep(0.02)
"""
ON = ("--isolated-emr", "--isolated-emr-warm=never")


@pytest.fixture(autouse=True)
def one_processor() -> Iterator[None]:
    """Two runs at a time: all that is started meanwhile has one processor."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    yield
    os.sched_setaffinity(0, usual)


class Runs:
    """Test runs with one state root."""

    def __init__(self, start: Start, project: Path, home: Path) -> None:
        self._start = start
        self._project = project
        self.home = home
        (project / "test_it.py").write_text(TEST)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one, and wait until it has its place."""
        before = self.places()
        process = self._start(*ON, *arguments, HERE=str(self._project / name))
        wait_for(lambda: process.poll() is not None or self.places() > before, "the run has its place")
        return process

    def places(self) -> int:
        return len(tickets(StateRoot(self.home)))

    def states(self) -> list[str]:
        return [ticket.state for ticket in tickets(StateRoot(self.home))]

    def runs(self, name: str) -> bool:
        return (self._project / f"{name}.runs").exists()

    def wait_until_runs(self, name: str) -> str:
        wait_for(lambda: self.runs(name) and self._run_id(name), f"{name} runs")
        return self._run_id(name)

    def let_go(self, *names: str) -> None:
        for name in names:
            (self._project / f"{name}.go").touch()

    def live(self) -> set[str]:
        return {path.name for path in (self.home / "sessions").iterdir()}

    def _run_id(self, name: str) -> str:
        return (self._project / f"{name}.runs").read_text()


@pytest.fixture
def runs(start_pytest: Start, project: Path, home: Path) -> Runs:
    return Runs(start_pytest, project, home)


@pytest.fixture
def taken(runs: Runs) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """Two runs that have the machine."""
    both = runs.start("a"), runs.start("b")
    for name in "ab":
        runs.wait_until_runs(name)
    return both


def test_the_third_waits_and_is_told_for_whom(runs, taken, project):
    third = runs.start("c")
    fourth = runs.start("d")
    assert runs.states() == ["runs", "runs", "waits", "waits"]
    holders = [runs.wait_until_runs(name) for name in "ab"]
    runs.let_go("a")
    Finished(taken[0]).assert_passed(1)
    runs.wait_until_runs("c")
    assert not runs.runs("d")
    runs.let_go("b", "c", "d")
    for process in (taken[1], third, fourth):
        finished = Finished(process)
        finished.assert_passed(1)
        if process is not taken[1]:
            assert "isolated-emr: waiting for room" in finished.output
            for run_id in holders:
                assert f"{run_id} in {project} since " in finished.output
    assert runs.live() == set()
    assert runs.places() == 0


def test_it_waits_for_as_long_as_it_may(runs, taken):
    live = runs.live()
    refused = Finished(runs.start("c", "--isolated-emr-wait=0"))
    assert refused.code == 75
    assert "IE108: No other run ended in the 0 seconds that this one waited for room." in refused.output
    assert runs.wait_until_runs("a") in refused.output
    assert runs.live() == live
    assert runs.places() == 2


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough), signal.SIGKILL]
)
def test_one_that_is_ended_while_it_waits_leaves_nothing_and_makes_room(runs, taken, number):
    live = runs.live()
    third, fourth = runs.start("c"), runs.start("d")
    third.send_signal(number)
    Finished(third)
    wait_for(lambda: len(runs.live() - live) == 1, "nothing of it is left")
    runs.let_go("a")
    runs.wait_until_runs("d")
    runs.let_go("b", "d")
    Finished(fourth).assert_passed(1)
    assert not runs.runs("c")


@pytest.mark.parametrize("who", ["pytest", "the keeper"])
def test_the_next_comes_when_a_holder_is_killed(runs, taken, who):
    third = runs.start("c")
    if who == "pytest":
        taken[0].kill()
    else:
        (keeper,) = (
            each
            for each in psutil.Process(taken[0].pid).children()
            if "pytest_isolated_emr.keeper" in each.cmdline()
        )
        keeper.kill()
    runs.wait_until_runs("c")
    runs.let_go("a", "b", "c")
    Finished(third).assert_passed(1)


def test_a_run_inside_of_another_has_that_ones_place(runs, taken, project):
    runs.let_go("a")
    Finished(taken[0]).assert_passed(1)
    inner = [sys.executable, "-m", "pytest", *ON]
    command = [sys.executable, "-m", "pytest_isolated_emr.cli", "exec", "--", *inner]
    environ = environ_of_run(runs.home) | {"HERE": str(project / "c")}
    with subprocess.Popen(
        command, cwd=project, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as outer:
        runs.wait_until_runs("c")
        assert runs.states() == ["runs", "runs"]
        assert len(runs.live()) == 3
        runs.let_go("b", "c")
        Finished(outer).assert_passed(1)


@pytest.mark.thorough
def test_each_worker_of_xdist_is_counted(runs, taken):
    runs.let_go("a", "b")
    for process in taken:
        Finished(process).assert_passed(1)
    process = runs.start("c", "-n", "5")
    (ticket,) = tickets(StateRoot(runs.home))
    # No more than there are, or it would never come.
    assert ticket.claim.cores == 2
    runs.wait_until_runs("c")
    second = runs.start("d")
    assert runs.states() == ["runs", "waits"]
    runs.let_go("c", "d")
    for each in (process, second):
        Finished(each).assert_passed(1)


def test_a_look_at_the_tests_waits_for_nobody_s_processor(runs, taken):
    collected = Finished(runs.start("c", "--collect-only", "-q"))
    assert collected.code == 0
    assert "test_it.py::test_it" in collected.output


def look(runs: Runs, *arguments: str) -> str:
    """Return what ``isolated-emr ps`` says."""
    command = [sys.executable, "-m", "pytest_isolated_emr.cli", "ps", *arguments]
    return subprocess.run(
        command, env=environ_of_run(runs.home), capture_output=True, text=True, check=True
    ).stdout


def test_ps_shows_who_waits_and_what_each_has(runs, taken):
    third = runs.start("c")
    sessions = json.loads(look(runs, "--json"))
    assert [session["state"] for session in sessions] == ["session", "session", "waiting"]
    assert [session["place"] for session in sessions] == [None, None, 1]
    for session in sessions:
        assert session["claim"]["cores"] == 1
        assert session["claim"]["memory_bytes"] >= 512 << 20
        assert session["memory_bytes"] > 0
    assert "waiting, 1." in look(runs)
    runs.let_go("a", "b", "c")
    for process in (*taken, third):
        Finished(process).assert_passed(1)


@pytest.mark.parametrize("arguments", [("top", "--json"), ("ps", "--watch", "--json")])
@pytest.mark.thorough
def test_it_looks_again_until_ctrl_c(runs, taken, arguments):
    command = [sys.executable, "-m", "pytest_isolated_emr.cli", *arguments]
    environ = environ_of_run(runs.home)
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        for _ in range(2):
            assert len(json.loads(watching.stdout.readline())) == 2
        watching.send_signal(signal.SIGINT)
        watching.stdout.read()
    assert watching.returncode == 0
    runs.let_go("a", "b")
    for process in taken:
        Finished(process).assert_passed(1)


def test_a_table_is_drawn_until_ctrl_c(runs, taken):
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "pytest_isolated_emr.cli", "top"]
    with subprocess.Popen(command, env=environ_of_run(runs.home), stdout=terminal) as watching:
        drawn = b""
        # The heading of each look.
        while drawn.count(b"run id") < 2:
            drawn += os.read(screen, 65536)
        watching.send_signal(signal.SIGINT)
    assert watching.returncode == 0
    for name in "ab":
        assert runs.wait_until_runs(name).encode() in drawn
    os.close(terminal)
    os.close(screen)
    runs.let_go("a", "b")
    for process in taken:
        Finished(process).assert_passed(1)
