"""The keeper of a spare: it makes a session before anybody wants it, and is that session's keeper once it is claimed."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from pathlib import Path

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import SpareBackend
from pytest_isolated_emr.keeper import messages
from pytest_isolated_emr.keeper.keeper import Keeper
from pytest_isolated_emr.keeper.messages import Message
from pytest_isolated_emr.keeper.priority import lower_priority, restore_priority
from pytest_isolated_emr.keeper.reserved_basetemp import ReservedBasetemp
from pytest_isolated_emr.keeper.spare import Claim, Spare
from pytest_isolated_emr.keeper.spare_order import SpareOrder
from pytest_isolated_emr.lifecycle.private_files import create_anew
from pytest_isolated_emr.lifecycle.session_directory import SPARE, WARMING
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot
from pytest_isolated_emr.lifecycle.state_root import StateRoot


class SpareKeeper(Keeper):
    """The supervisor of a session that has no owner yet."""

    def __init__(self) -> None:
        super().__init__()
        self._spare: Spare | None = None
        self._basetemp: ReservedBasetemp | None = None

    async def run_ahead(self, order: SpareOrder) -> None:
        """Make a session before anybody wants it, and serve whoever claims it, to its end.

        :param order: what it is to be.
        :raises IsolatedEmrError: it cannot be made.
        """
        slot = SpareSlot(StateRoot.from_environment(), order.key)
        if not slot.take():
            return
        usual = lower_priority()
        claim: Claim | None = None
        self._create()
        try:
            self._write_metadata({**order.opening, "state": WARMING})
            if not self._turn.come_as_spare(order.memory(), order.opening["cwd"]):
                return
            try:
                self._spare = await self._prepare(order)
            except Exception:
                # The session's own log goes with it.
                with create_anew(slot.log) as log:
                    log.write(traceback.format_exc().encode())
                raise
            slot.log.unlink(missing_ok=True)
            claim = await self._spare.wait(slot, self._directory.run_id)
            slot.give_up()
            if claim is not None:
                restore_priority(usual)
                await self._serve_claim(claim)
        finally:
            if claim is None and self._basetemp is not None:
                self._basetemp.remove()
            await self._take_down()
            if claim is not None:
                claim.writer.close()

    async def _prepare(self, order: SpareOrder) -> Spare:
        await self._open(order.opening)
        if order.has_temporary_files:
            # A container sees no directories that are made later.
            self._basetemp = ReservedBasetemp.like(Path(order.basetemp))
        assert isinstance(self._backend, SpareBackend)
        assert self._private_aws is not None
        self._spare = Spare(order, self._describe(), self._backend, self._private_aws)
        # There is no client whose end would end it; a machine that shuts down must not wait for it.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._spare.end)
        await self._spare.prepare(self._directory.path / "logs" / "keeper.log")
        self._write_metadata({**order.opening, "state": SPARE})
        return self._spare

    async def _serve_claim(self, claim: Claim) -> None:
        assert self._private_aws is not None
        self._watch_owner(claim.writer.get_extra_info("socket"))
        claim.writer.write(messages.encode({"id": claim.message["id"], "is_claimed": True}))
        line = await claim.reader.readline()
        if not line:
            # Who asked did not wait for the answer.
            return
        opening = messages.decode(line)
        try:
            if not await self._admit(opening, claim.reader, claim.writer):
                return
        except errors.IsolatedEmrError as error:
            claim.writer.write(messages.encode({"id": opening["id"], "error": error.to_message()}))
            return
        self._write_metadata(opening)
        for log in (self._directory.path / "logs").glob("*.log"):
            # What was printed so far is of nobody's test.
            os.truncate(log, 0)
        try:
            await self._private_aws.make_buckets(opening["buckets"])
        except errors.IsolatedEmrError as error:
            claim.writer.write(messages.encode({"id": opening["id"], "error": error.to_message()}))
            return
        await self._serve_until_over(opening, claim.reader, claim.writer)

    def _describe(self) -> Message:
        basetemp = str(self._basetemp.path) if self._basetemp is not None else ""
        return {**super()._describe(), "basetemp": basetemp}

    async def _start_spark(self, worker: str, request: Message) -> None:
        if self._spare is not None and await self._spare.take(worker, request):
            self._note_spark(worker, request)
        else:
            await super()._start_spark(worker, request)

    async def _answer_about_spare(
        self, hello: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer who wants this session before it has an owner; tell whether it has one now, by this connection."""
        if hello["op"] == "claim":
            if self._spare is not None and await self._spare.claim(Claim(hello, reader, writer)):
                return True
            writer.write(messages.encode({"id": hello["id"], "is_claimed": False}))
        else:
            ended = self._spare is not None and self._spare.end()
            writer.write(messages.encode({"id": hello["id"], "is_ended": ended}))
        await writer.drain()
        return False
