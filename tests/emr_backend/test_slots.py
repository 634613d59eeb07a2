"""Admission: how many sessions run at once on a scratch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.lease import Lease, LeaseBody, read_lease
from pytest_isolated_emr.backends.emr.slots import Slots, list_slots, remove_slot, remove_slots, slot_key
from pytest_isolated_emr.lifecycle.host import this_host
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from tests.emr_backend.s3_endpoint import ATTEMPTS, REGION, Scratch, Server

SECONDS = 900.0


def slots_of(scratch: Scratch, owner: str, count: int = 2, run_id: str | None = None) -> Slots:
    """The slots as a session of somebody's own sees them."""
    body = LeaseBody.of_this_process(run_id or new_run_id(), owner, SECONDS)
    return Slots(scratch.another_account(), scratch.bucket, scratch.prefix, count, body)


def claimed(slots: Slots) -> Lease:
    slot = slots.try_claim()
    assert slot is not None
    return slot


@pytest.mark.parametrize("versioned", [False, True])
def test_one_slot_after_another(scratch: Scratch, versioned: bool):
    if versioned:
        scratch.version_all()
    first = claimed(slots_of(scratch, "alice"))
    second = claimed(slots_of(scratch, "bob"))
    assert [first.key, second.key] == [slot_key(scratch.prefix, number) for number in (0, 1)]
    third = slots_of(scratch, "carol")
    assert third.try_claim() is None
    first.renew()
    assert third.try_claim() is None
    first.remove()
    assert claimed(third).key == first.key
    second.remove()
    assert not first.has_lapsed
    with pytest.raises(errors.LeaseLapsed, match="that of carol"):
        first.renew()


def test_nothing_is_left_of_a_slot(scratch: Scratch):
    scratch.version_all()
    for _ in range(2):
        slot = claimed(slots_of(scratch, "alice"))
        slot.renew()
        slot.remove()
    assert scratch.everything() == []


def test_who_holds_them(scratch: Scratch):
    waiting = slots_of(scratch, "carol")
    place = f"s3://{scratch.bucket}/{scratch.prefix}"
    assert waiting.holders() == []
    assert waiting.words() == f"0 of 2 sessions run on {place}: none"
    runs = [new_run_id(), new_run_id()]
    for owner, run_id in zip(["alice", "bob"], runs, strict=True):
        claimed(slots_of(scratch, owner, run_id=run_id))
    holders = waiting.holders()
    assert [(holder.owner, holder.run_id, holder.host) for holder in holders] == [
        ("alice", runs[0], this_host().name),
        ("bob", runs[1], this_host().name),
    ]
    host = re.escape(this_host().name)
    assert re.fullmatch(
        rf"2 of 2 sessions run on {place}: alice on {host} since \d\d:\d\d \({runs[0]}\), "
        rf"bob on {host} since \d\d:\d\d \({runs[1]}\)",
        waiting.words(),
    )
    refusal = waiting.refusal(1800.0)
    assert isinstance(refusal, errors.NoSlot)
    assert "1800 seconds" in refusal.what
    assert runs[0] in refusal.checked


def test_a_lapsed_one_is_taken_over(scratch: Scratch, server: Server):
    alice = claimed(slots_of(scratch, "alice", count=1))
    waiting = Slots(
        scratch.account,
        scratch.bucket,
        scratch.prefix,
        1,
        LeaseBody.of_this_process(new_run_id(), "bob", SECONDS),
    )
    server.ahead = timedelta(days=30)
    assert waiting.try_claim() is None
    server.aged = timedelta(seconds=SECONDS + 10)
    assert waiting.holders() == []
    bob = claimed(waiting)
    server.aged = timedelta()
    with pytest.raises(errors.LeaseLapsed, match="that of bob"):
        alice.renew()
    alice.remove()
    bob.renew()
    assert [holder.owner for holder in waiting.holders()] == ["bob"]


def test_a_damaged_one_is_nobodys_to_take(scratch: Scratch, server: Server):
    key = slot_key(scratch.prefix, 0)
    scratch.put(key, b"{")
    server.aged = timedelta(days=400)
    body = LeaseBody.of_this_process(new_run_id(), "bob", SECONDS)
    waiting = Slots(scratch.account, scratch.bucket, scratch.prefix, 1, body)
    assert waiting.try_claim() is None
    assert waiting.words().endswith(f"s3://{scratch.bucket}/{key} cannot be read")


def test_a_claim_of_which_nobody_heard_is_found_again(scratch: Scratch, server: Server):
    body = LeaseBody.of_this_process(new_run_id(), "alice", SECONDS)
    slots = Slots(scratch.account, scratch.bucket, scratch.prefix, 2, body)
    server.lose_answers("PutObject", ATTEMPTS, then=lambda: server.lose_answers("GetObject", 1))
    with pytest.raises(errors.AwsUnreachable):
        slots.try_claim()
    slot = claimed(slots)
    slot.renew()
    assert [state.key for state in list_slots(scratch.account, scratch.bucket, scratch.prefix)] == [slot.key]


def test_those_of_a_dead_session(scratch: Scratch):
    dead = new_run_id()
    slot = claimed(slots_of(scratch, "alice", run_id=dead))
    bob = claimed(slots_of(scratch, "bob"))
    scratch.put(slot_key(scratch.prefix, 7), b"damaged")
    arguments = (scratch.account, scratch.bucket)
    assert remove_slot(*arguments, bob.key, dead)
    assert remove_slots(*arguments, scratch.prefix, dead) == []
    assert remove_slots(*arguments, scratch.prefix, dead) == []
    assert remove_slot(*arguments, slot.key, dead)
    left = [state.key for state in list_slots(*arguments, scratch.prefix)]
    assert left == [bob.key, slot_key(scratch.prefix, 7)]
    bob.renew()


def test_scratches_have_slots_of_their_own(scratch: Scratch):
    claimed(slots_of(scratch, "alice", count=1))
    body = LeaseBody.of_this_process(new_run_id(), "bob", SECONDS)
    claimed(Slots(scratch.account, scratch.bucket, f"{scratch.prefix}2", 1, body))
    assert len(list_slots(scratch.account, scratch.bucket, scratch.prefix)) == 1


@pytest.mark.parametrize("prefix", ["", "/", "a//b"])
def test_a_prefix_that_is_none(scratch: Scratch, prefix: str):
    body = LeaseBody.of_this_process(new_run_id(), "bob", SECONDS)
    with pytest.raises(ValueError, match="prefix of a scratch"):
        Slots(scratch.account, scratch.bucket, prefix, 1, body)
    with pytest.raises(ValueError, match="prefix of a scratch"):
        list_slots(scratch.account, scratch.bucket, prefix)


@pytest.mark.parametrize("lapsed", [False, True])
def test_twenty_at_once(scratch: Scratch, server: Server, lapsed: bool):
    if lapsed:
        for number in range(3):
            body = LeaseBody.of_this_process(new_run_id(), "gone", 0.001)
            scratch.put(slot_key(scratch.prefix, number), body.to_bytes())
    everybody = []
    for number in range(20):
        account = scratch.another_account()
        Server(account).aged = timedelta(seconds=30 if lapsed else 0)
        body = LeaseBody.of_this_process(new_run_id(), f"user{number}", SECONDS)
        everybody.append(Slots(account, scratch.bucket, scratch.prefix, 3, body))
    with ThreadPoolExecutor(20) as pool:
        slots = [slot for slot in pool.map(lambda one: one.try_claim(), everybody) if slot is not None]
    assert Counter(slot.key for slot in slots) == {slot_key(scratch.prefix, number): 1 for number in range(3)}
    for slot in slots:
        state = read_lease(scratch.account, scratch.bucket, slot.key)
        assert state is not None
        assert state.body == slot.body


_CLAIM = """
import sys
from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.backends.emr.lease import LeaseBody
from pytest_isolated_emr.backends.emr.slots import Slots
bucket, prefix, run_id, region = sys.argv[1:]
account = Account.connect(region)
slots = Slots(account, bucket, prefix, 1, LeaseBody.of_this_process(run_id, "somebody", 900.0))
print("ready", flush=True)
sys.stdin.readline()
print(slots.try_claim() is not None)
"""


def test_processes_at_once(scratch: Scratch):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CLAIM, scratch.bucket, scratch.prefix, new_run_id(), REGION],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in processes]
    assert Counter(answers) == {"True\n": 1, "False\n": 3}
