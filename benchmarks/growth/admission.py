"""What admission costs a session for which there is room: the claim in pytest, and the ticket in the keeper."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

from pytest_isolated_emr.claims import claim_of_command
from pytest_isolated_emr.keeper.turn import Turn
from pytest_isolated_emr.lifecycle.admission import WAITS, Admission, Claim, Ticket, machine
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.settings import Settings

TIMES = 200
CLAIM, ALONE, BESIDE = "the claim", "the ticket, alone", "the ticket, beside others"
#: So many others run: one more than that is what two cores admit.
OTHERS = 3


def measure(directory: Path, times: int = TIMES) -> dict[str, list[float]]:
    """Return milliseconds.

    :param directory: an empty one, for a state root.
    :param times: how often.
    """
    root = StateRoot(directory)
    root.open()
    found = {CLAIM: _claims(times)}
    found[ALONE] = asyncio.run(_tickets(root, times))
    with ExitStack() as at_end:
        for _ in range(OTHERS):
            other = Admission(root, machine())
            # Of no cores: whatever machine this is has room.
            other.enter(Ticket.now(new_run_id(), str(directory), Claim(1, 0), WAITS))
            if not other.try_admit():
                raise SystemExit("there is no room for one of no size")
            at_end.callback(other.leave)
        found[BESIDE] = asyncio.run(_tickets(root, times))
    return found


def _claims(times: int) -> list[float]:
    found = []
    for _ in range(times):
        started = time.perf_counter()
        claim_of_command(Settings())
        found.append(1000 * (time.perf_counter() - started))
    return found


async def _tickets(root: StateRoot, times: int) -> list[float]:
    """Do what a keeper does from its session's opening to its admission, and give the place up again at its end."""

    async def tell(text: str) -> None:
        raise SystemExit(f"there is no room on this machine: {text}")

    found = []
    for _ in range(times):
        started = time.perf_counter()
        turn = Turn(root, new_run_id())
        await turn.come({"memory": 1, "cores": 1, "seconds": 0.0}, "/", tell, lambda: False)
        turn.leave()
        found.append(1000 * (time.perf_counter() - started))
    return found
