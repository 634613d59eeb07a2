"""Spares and memory: they have a place in the queue, and give it to whoever waits."""

from __future__ import annotations

import asyncio
import signal

import pytest

from pytest_isolated_emr.keeper.turn import Turn
from pytest_isolated_emr.lifecycle import admission
from pytest_isolated_emr.lifecycle.admission import IS_SPARE, RUNS, WAITS, Admission, Claim, Ticket, tickets
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from tests.conftest import UNDER_ONE_SPARK, Finished
from tests.spares.by_spare import READY, wait_for

GB = 1 << 30


def come(suite) -> None:
    """Take the place of a session that needs all of a machine with 2 GB."""

    async def tell(text: str) -> None:
        raise AssertionError(f"it waits: {text}")

    async def wait() -> None:
        turn = Turn(suite.root, new_run_id())
        claim = {"memory": 2 * GB, "cores": 1, "seconds": 60.0}
        assert await turn.come(claim, "/", tell, lambda: False)
        turn.leave()

    asyncio.run(wait())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process believe that the machine is a small one; its own cannot be taken from others' tests."""
    monkeypatch.setattr(admission, "machine", lambda: Claim(2 * GB, 4))


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_a_spare_ends_where_its_memory_is_wanted(suite):
    spare = suite.spare()
    assert [ticket.state for ticket in tickets(suite.root)] == [IS_SPARE]
    come(suite)
    spare.wait_until_gone()
    assert tickets(suite.root) == []


@pytest.mark.spark
@UNDER_ONE_SPARK
@pytest.mark.thorough
def test_nobody_waits_for_a_stopped_one(suite):
    spare = suite.spare()
    keeper = spare.process("pytest_isolated_emr.keeper")
    keeper.send_signal(signal.SIGSTOP)
    come(suite)
    keeper.send_signal(signal.SIGCONT)
    # It hears of it now.
    spare.wait_until_gone()


@pytest.mark.spark
@UNDER_ONE_SPARK
@pytest.mark.thorough
def test_who_claims_one_waits_for_its_turn_like_others(suite):
    spare = suite.spare()
    all_of_it = Admission(suite.root, Claim(0, 0))
    all_of_it.enter(Ticket.now(new_run_id(), "/elsewhere", Claim(1 << 50, 1 << 20), WAITS))
    all_of_it.disregard(spare.run_id)
    assert all_of_it.try_admit()
    process = suite.start()
    wait_for(lambda: [each.state for each in tickets(suite.root)] == [RUNS, WAITS], "the run waits")
    assert tickets(suite.root)[1].run_id == spare.run_id
    all_of_it.leave()
    finished = Finished(process)
    finished.assert_passed(1)
    assert READY in finished.output
