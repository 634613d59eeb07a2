"""A spare's place: one holder, found only when it is ready, and given up by whatever ends its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_isolated_emr.lifecycle import spare_slot
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot, offered
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import sweep

KEY = "0123456789abcdef" * 2

HOLDER = """
import sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot
from pytest_isolated_emr.lifecycle.state_root import StateRoot
slot = SpareSlot(StateRoot(Path(sys.argv[1])), sys.argv[2])
print(slot.take(), flush=True)
for line in sys.stdin:
    slot.offer(line.strip()) if line.strip() else slot.give_up()
    print(slot.is_held(), flush=True)
"""

Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def holder(root: StateRoot) -> Iterator[Start]:
    """Start a process that tries to take the place."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(root.path), KEY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    return said(process)


def test_of_many_at_once_one_gets_it(holder):
    answers = [said(process) for process in [holder() for _ in range(6)]]
    assert sorted(answers) == ["False"] * 5 + ["True"]


@pytest.mark.parametrize("end", ["killed", "gave it up"])
def test_it_is_free_after_its_holder(root, holder, end):
    first = holder()
    assert said(first) == "True"
    assert offered(root, KEY) == ""
    run_id = new_run_id()
    tell(first, run_id)
    assert offered(root, KEY) == run_id
    if end == "killed":
        first.send_signal(signal.SIGKILL)
        first.wait()
    else:
        assert tell(first, "") == "False"
        assert offered(root, KEY) == ""
    second = holder()
    assert said(second) == "True"
    # Nobody finds the dead one.
    assert offered(root, KEY) == ""


def test_whose_file_is_gone_holds_it_no_longer(root, holder):
    first = holder()
    said(first)
    (root.spares / KEY).unlink()
    second = holder()
    assert said(second) == "True"
    assert tell(first, new_run_id()) == "False"
    assert offered(root, KEY) == ""
    # Nor does it take away the other's.
    tell(first, "")
    assert tell(second, new_run_id()) == "True"


def _link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text(new_run_id())
    path.symlink_to(target)


DAMAGED = {
    "nothing": lambda path: None,
    "empty": lambda path: path.write_text(""),
    "garbage": lambda path: path.write_bytes(os.urandom(4096)),
    "parts of a path": lambda path: path.write_text("../../etc"),
    "more than a run id": lambda path: path.write_text(f"{new_run_id()}/../x"),
    "a line": lambda path: path.write_text(f"{new_run_id()}\n"),
    "directory": lambda path: path.mkdir(),
    "link": _link,
    "pipe": lambda path: os.mkfifo(path),
}


@pytest.mark.parametrize("make", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_spares_name_names_none(root, make):
    root.spares.mkdir(mode=0o700)
    make(root.spares / KEY)
    assert offered(root, KEY) == ""


def test_a_sweep_removes_the_places_of_the_dead_alone(root, holder):
    root.spares.mkdir(mode=0o700)
    live, dead, other = root.spares / KEY, root.spares / ("f" * 32), root.spares / "notes"
    first = holder()
    said(first)
    tell(first, new_run_id())
    dead.write_text(new_run_id())
    other.write_text("mine")
    log = SpareSlot(root, "f" * 32).log
    log.write_text("why")
    sweep(root)
    assert dead.exists()
    sweep(root, delete=True)
    assert not dead.exists()
    assert live.exists()
    assert (other.read_text(), log.read_text()) == ("mine", "why")
    spare_slot.remove_dead(StateRoot(root.path / "nowhere"))
