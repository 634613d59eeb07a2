"""What a keeper is before its session has an owner: a spare, ready for whoever claims it first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_isolated_emr.backends.base import SpareBackend, SparkRequest
from pytest_isolated_emr.errors import IsolatedEmrError
from pytest_isolated_emr.keeper.messages import Message
from pytest_isolated_emr.keeper.private_aws import PrivateAws
from pytest_isolated_emr.keeper.spare_order import SpareOrder, SparkOrders
from pytest_isolated_emr.lifecycle.memory import available_memory
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot

#: Less than this is free, and a spare is in the way of what is at work, in bytes.
LEAST_MEMORY = 1 << 30

# Nobody waits for a spare, and what is at work comes first.
_START_SECONDS = 600.0
# So often a spare looks whether it may stay, in seconds.
_LOOK_SECONDS = 2.0
# What is well answers within milliseconds. What does not is stopped, or hangs.
_ANSWER_SECONDS = 0.5


@dataclass(frozen=True)
class Claim:
    """Who will own the session.

    :param message: what was asked.
    :param reader: of the connection, which is the lifeline from now on.
    :param writer: of the connection.
    """

    message: Message
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Spare:
    """A session without an owner.

    :param order: what it is to be.
    :param described: the session as its clients will know it.
    :param backend: what starts its Spark.
    :param aws: its AWS.
    """

    def __init__(self, order: SpareOrder, described: Message, backend: SpareBackend, aws: PrivateAws) -> None:
        self._order = order
        self._directory = described["directory"]
        self._orders = SparkOrders(described)
        self._backend = backend
        self._aws = aws
        self._ahead = dict(order.sparks)
        self._claim: asyncio.Future[Claim | None] = asyncio.get_running_loop().create_future()
        self._is_open = False
        self._is_asked_for = False

    async def prepare(self, log: Path) -> None:
        """Start all that the next session will want, and use it once, unless the spare is ended meanwhile.

        :param log: takes what is printed meanwhile.
        :raises IsolatedEmrError: it does not work.
        """
        preparing = asyncio.create_task(self._prepare(log))
        either: list[asyncio.Future[Any]] = [preparing, self._claim]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._claim.done():
            preparing.cancel()
            await asyncio.wait([preparing])
        else:
            await preparing

    async def _prepare(self, log: Path) -> None:
        for worker, order in self._ahead.items():
            request = SparkRequest.from_message(self._orders.request(order))
            for path in (*request.files.read_only, *request.files.writable):
                if path.is_relative_to(self._directory):
                    # Its client would have made it: a container sees what is there at its start.
                    path.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._backend.start_spark(worker, replace(request, timeout=_START_SECONDS))
        await self._aws.ready()
        for worker in self._ahead:
            await self._backend.warm_up(worker, log)

    async def wait(self, slot: SpareSlot, run_id: str) -> Claim | None:
        """Offer it; return who claimed it, or None if nobody did in time, or it may not stay.

        :param slot: the place where it is found.
        :param run_id: its run id.
        """
        if self._claim.done():
            return None
        self._is_open = True
        slot.offer(run_id)
        looking = asyncio.create_task(self._look(slot))
        try:
            return await asyncio.wait_for(self._claim, self._order.idle_seconds)
        except asyncio.TimeoutError:
            return None
        finally:
            self._is_open = False
            looking.cancel()

    async def claim(self, claim: Claim) -> bool:
        """Give it to the first who asks, if it is well; tell whether it is theirs.

        :param claim: who asks.
        """
        if not self._is_open or claim.message["key"] != self._order.key:
            return False
        # Nobody else gets it meanwhile, and nobody gets one that is not well.
        self._is_open = False
        self._is_asked_for = True
        well = await self._is_well()
        if self._claim.done():
            # Its time was up meanwhile.
            return False
        self._claim.set_result(claim if well else None)
        return well

    def end(self) -> bool:
        """End it, unless somebody has asked for it; tell whether it ends."""
        if self._is_asked_for:
            return False
        self._is_open = False
        if not self._claim.done():
            self._claim.set_result(None)
        return True

    async def take(self, worker: str, request: Message) -> bool:
        """Use the Spark that was started ahead for a worker, if it is what the worker asks for; tell whether it is.

        :param worker: the worker.
        :param request: what it asks for.
        """
        order = self._ahead.pop(worker, None)
        if order is None:
            return False
        differences = self._orders.differences(order, request)
        if differences:
            print(
                f"the Spark that was started ahead for {worker} has other {', '.join(differences)}",
                flush=True,
            )
            return False
        if not (await self._backend.spark_status(worker))["alive"]:
            return False
        await self._backend.hand_over(worker, SparkRequest.from_message(request))
        return True

    async def _is_well(self) -> bool:
        answers: list[Any] = [self._aws.answers(), *(self._backend.answers(each) for each in self._ahead)]
        results = await asyncio.gather(
            *(asyncio.wait_for(answer, _ANSWER_SECONDS) for answer in answers), return_exceptions=True
        )
        return all(result is True for result in results)

    async def _look(self, slot: SpareSlot) -> None:
        """End it where it is in the way, dead in part, or not to be found any more."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            has_memory = available_memory() >= LEAST_MEMORY
            if not (has_memory and slot.is_held() and await self._is_whole()):
                self.end()
                return

    async def _is_whole(self) -> bool:
        try:
            await self._aws.ready()
        except IsolatedEmrError:
            return False
        return all([(await self._backend.spark_status(worker))["alive"] for worker in self._ahead])
