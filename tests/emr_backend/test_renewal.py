"""A lease is renewed whatever goes wrong on the way, and its loss is noticed."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.renewal import Renewal

PACE = Pace(renew=0.01)


@dataclass
class Held:
    """A place as renewals see it, with what becomes of each one."""

    outcomes: list[BaseException | None]
    has_lapsed: bool = False
    uri: str = "s3://bucket/prefix/run"
    renewed: threading.Event = field(default_factory=threading.Event)
    hangs: threading.Event = field(default_factory=threading.Event)

    def renew(self) -> None:
        if not self.outcomes:
            self.renewed.set()
            self.hangs.wait()
            return
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome


def lost(what: str) -> errors.LeaseLapsed:
    return errors.LeaseLapsed(what, checked="it", cure="none")


def told_of(renewal: Renewal) -> bool:
    return renewal._loss is not None


def run(place: Any, then: Any) -> list[str]:
    """Renew a place until ``then`` is through; return how often its loss was told."""
    told: list[str] = []

    async def main() -> None:
        renewal = Renewal(place, PACE, lambda: told.append("lost"))
        try:
            await then(renewal)
        finally:
            place.hangs.set()
            await renewal.end()

    asyncio.run(asyncio.wait_for(main(), 60))
    return told


def test_it_goes_on_past_whatever_goes_wrong():
    unreachable = errors.AwsUnreachable("no answer", checked="it", cure="none")
    place = Held([unreachable, RuntimeError("can't start new thread"), ValueError("not AWS"), None])

    async def then(renewal: Renewal) -> None:
        await asyncio.to_thread(place.renewed.wait)
        renewal.check()

    assert run(place, then) == []


def test_who_lost_it_stops_and_says_so():
    place = Held([lost("it is another's")])

    async def then(renewal: Renewal) -> None:
        while not told_of(renewal):
            await asyncio.sleep(0.01)
        with pytest.raises(errors.LeaseLapsed, match="another's"):
            renewal.check()

    assert run(place, then) == ["lost"]


def test_a_machine_that_slept_knows_before_its_next_renewal():
    place = Held([None] * 1000, has_lapsed=True)

    async def then(renewal: Renewal) -> None:
        with pytest.raises(errors.LeaseLapsed, match="this machine's clock"):
            renewal.check()

    assert run(place, then) == ["lost"]


def test_a_renewal_that_hangs_longer_than_the_lease_loses_it():
    place = Held([])

    async def then(renewal: Renewal) -> None:
        await asyncio.to_thread(place.renewed.wait)
        renewal.check()
        place.has_lapsed = True
        while not told_of(renewal):
            await asyncio.sleep(0.01)

    assert run(place, then) == ["lost"]
