"""The queue of a state root: who may start, in what order, and what becomes of the places of the dead."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pytest_isolated_emr.lifecycle import admission, durations
from pytest_isolated_emr.lifecycle.admission import IS_SPARE, RUNS, WAITS, Admission, Claim, Ticket, tickets
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.state_root import StateRoot

GB = 1 << 30
MACHINE = Claim(4 * GB, 4)
ONE = Claim(GB, 1)

HOLDER = """
import sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.admission import Admission, Claim, Ticket
from pytest_isolated_emr.lifecycle.state_root import StateRoot
root, run_id, state, memory, cores, *machine = sys.argv[1:]
place = Admission(StateRoot(Path(root)), Claim(*map(int, machine)))
place.enter(Ticket.now(run_id, "/of/" + run_id, Claim(int(memory), int(cores)), state))
print("entered", flush=True)
for line in sys.stdin:
    print(getattr(place, line.strip())(), flush=True)
"""


class Keeper:
    """A process with a place in the queue."""

    def __init__(self, root: StateRoot, claim: Claim, state: str) -> None:
        self.run_id = new_run_id()
        numbers = (claim.memory, claim.cores, MACHINE.memory, MACHINE.cores)
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(root.path), self.run_id, state, *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._said() == "entered"

    def ask(self, what: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self._said()

    def may_start(self) -> bool:
        return self.ask("try_admit") == "True"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


Enter = Callable[..., Keeper]


@pytest.fixture
def enter(root: StateRoot) -> Iterator[Enter]:
    """Have processes take places; all end with the test."""
    entered: list[Keeper] = []

    def enter(claim: Claim = ONE, state: str = WAITS) -> Keeper:
        entered.append(Keeper(root, claim, state))
        return entered[-1]

    yield enter
    for keeper in entered:
        keeper.process.send_signal(signal.SIGCONT)
        keeper.kill()


def test_as_many_start_as_there_is_room_for(enter, root):
    keepers = [enter() for _ in range(6)]
    assert [keeper.may_start() for keeper in keepers] == [True] * 4 + [False] * 2
    assert [ticket.state for ticket in tickets(root)] == [RUNS] * 4 + [WAITS] * 2
    assert [ticket.run_id for ticket in tickets(root)] == [keeper.run_id for keeper in keepers]


@pytest.mark.parametrize("large", [Claim(4 * GB, 1), Claim(GB, 4)], ids=["memory", "cores"])
def test_nobody_overtakes(enter, large):
    running, waiting, small = enter(), enter(large), enter()
    assert running.may_start()
    assert not waiting.may_start()
    # There would be room for it.
    assert not small.may_start()
    running.ask("leave")
    assert not small.may_start()
    assert waiting.may_start()
    assert not small.may_start()


@pytest.mark.parametrize("state", [RUNS, WAITS])
def test_a_dead_ones_place_is_free(enter, root, state):
    first = enter(MACHINE)
    if state == RUNS:
        assert first.may_start()
    second = enter(MACHINE)
    assert not second.may_start()
    first.kill()
    assert [ticket.run_id for ticket in tickets(root)] == [second.run_id]
    assert second.may_start()
    assert sorted(path.name for path in root.admission.iterdir()) == ["000000000002", "lock"]


def test_it_is_told_how_long_it_may_take(enter, root):
    first, second = enter(MACHINE), enter(MACHINE)
    assert first.may_start()
    assert second.ask("forecast") == ""
    durations.note(root.admission / "took.json", f"/of/{first.run_id}", 3600.0)
    (seconds,) = re.findall("; one may end in about (\\d+) s, by its last run$", second.ask("forecast"))
    assert 0 < int(seconds) <= 3600
    first.ask("leave")
    assert durations.read(root.admission / "took.json")[f"/of/{first.run_id}"] < 3600


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"/x": "long"}', b"\xff"])
def test_durations_that_cannot_be_read_are_none(root, content):
    file = root.admission / "took.json"
    file.write_bytes(content)
    assert durations.read(file) == {}
    durations.note(file, "/y", 3.0)
    assert durations.read(file) == {"/y": 3.0}


def test_the_latest_durations_are_kept(root):
    file = root.admission / "took.json"
    for number in range(150):
        durations.note(file, f"/{number}", number)
    assert len(durations.read(file)) == 100
    assert durations.read(file)["/149"] == 149


def test_what_is_larger_than_the_machine_runs_alone(enter):
    large, next_one = enter(Claim(9 * GB, 9)), enter()
    assert large.may_start()
    assert not next_one.may_start()
    large.kill()
    assert next_one.may_start()


def test_a_place_says_who_has_it_and_since_when(enter, root):
    running, second, third = enter(Claim(4 * GB, 3)), enter(), enter()
    assert running.may_start()
    words = third.ask("words")
    (ticket,) = [each for each in tickets(root) if each.state == RUNS]
    assert ticket.run_id == running.run_id
    assert f"{running.run_id} in /of/{running.run_id} since " in words
    assert "after 1 more: 1 run has 4.0 GB, 3 cores of 4.0 GB, 4 cores" in words
    assert "next: " in second.ask("words")


def test_while_who_holds_the_lock_is_stopped_nobody_starts_and_nobody_fails(enter, root):
    waiting = enter()
    code = (
        "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root.admission / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as stopped:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == b"locked\n"
        stopped.send_signal(signal.SIGSTOP)
        assert not waiting.may_start()
        place = Admission(root, MACHINE)
        ticket = Ticket.now(new_run_id(), "/", ONE, WAITS)
        assert not place.enter(ticket)
        stopped.kill()
    assert waiting.may_start()
    assert place.enter(ticket)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run_id": "../../x"}', b"\xff" * 99, b"1" * 99_999])
def test_a_damaged_ticket_is_nobodys(enter, root, content):
    (root.admission / "000000000007").write_bytes(content)
    first = enter()
    assert first.may_start()
    # Neither while somebody holds it.
    (path,) = root.admission.glob("0*")
    path.write_bytes(content)
    assert tickets(root) == []
    assert enter(MACHINE).may_start()


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_what_is_no_ticket_is_left_alone(enter, root, tmp_path, kind):
    target, planted = tmp_path / "precious", root.admission / "000000000003"
    target.write_text("precious")
    match kind:
        case "link":
            planted.symlink_to(target)
        case "directory":
            planted.mkdir()
        case "pipe":
            os.mkfifo(planted)
    assert enter().may_start()
    assert target.read_text() == "precious"


def test_a_spare_is_in_nobodys_way(enter, root):
    spare = enter(Claim(2 * GB, 0), IS_SPARE)
    assert spare.ask("has_room_for_spare") == "True"
    place = Admission(root, MACHINE)
    place.enter(Ticket.now(new_run_id(), "/", Claim(3 * GB, 1), WAITS))
    # There is a run that waits.
    assert spare.ask("has_room_for_spare") == "False"
    assert not place.try_admit()
    assert place.spares_in_the_way == [spare.run_id]
    # It was told to end and does not: it is stopped, say.
    place.disregard(spare.run_id)
    assert place.try_admit()
    assert enter(Claim(GB, 0), IS_SPARE).ask("has_room_for_spare") == "False"


def test_memory_that_others_use_is_no_room(enter, root, monkeypatch):
    assert enter().may_start()
    place = Admission(root, MACHINE)
    place.enter(Ticket.now(new_run_id(), "/", ONE, WAITS))
    monkeypatch.setattr(admission, "available_memory", lambda: ONE.memory - 1)
    assert not place.try_admit()
    monkeypatch.setattr(admission, "available_memory", lambda: ONE.memory)
    assert place.try_admit()


def test_who_takes_another_place_gives_up_the_first(root):
    place = Admission(root, MACHINE)
    for state in (IS_SPARE, WAITS):
        place.enter(Ticket.now(new_run_id(), "/", ONE, state))
    assert [ticket.state for ticket in tickets(root)] == [WAITS]
    place.leave()
    place.leave()
    assert tickets(root) == []
