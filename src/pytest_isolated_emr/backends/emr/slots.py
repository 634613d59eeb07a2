"""How many sessions run at once on an account and scratch: slots, of which each session holds one.

A slot is a lease with a number. A session that is gone without giving its slot back loses it when the lease lapses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account, aws_errors
from pytest_isolated_emr.backends.emr.clock import elapsed_clock
from pytest_isolated_emr.backends.emr.lease import (
    Lease,
    LeaseBody,
    LeaseState,
    read_lease,
    remove_lease,
)
from pytest_isolated_emr.backends.emr.prefix import check_prefix

#: Where the slots are in a scratch. Its first part is no run id, so that it is no run's prefix.
SLOTS = ".isolated-emr/slots/"
_NUMBERED = re.compile(r"[0-9]+\.json")


@dataclass(frozen=True)
class Holder:
    """Who holds a slot.

    :param key: the slot's.
    :param run_id: the session's.
    :param owner: who started it.
    :param host: the name of the machine that it runs on.
    :param since: when it took the slot, by its own clock.
    :param age: since it last said that it is there, by S3's clock.
    """

    key: str
    run_id: str
    owner: str
    host: str
    since: datetime
    age: timedelta

    def __str__(self) -> str:
        return f"{self.owner} on {self.host} since {self.since.astimezone():%H:%M} ({self.run_id})"


class Slots:
    """The slots of a scratch.

    :param account: whose bucket it is in.
    :param bucket: its name.
    :param prefix: of the scratch, without slashes at its ends.
    :param count: how many there are.
    :param body: what a slot of this session says.
    :param clock: seconds, as :func:`~pytest_isolated_emr.backends.emr.clock.elapsed_clock` has them.
    :raises ValueError: the prefix is none.
    """

    def __init__(
        self,
        account: Account,
        bucket: str,
        prefix: str,
        count: int,
        body: LeaseBody,
        *,
        clock: Callable[[], float] = elapsed_clock,
    ) -> None:
        check_prefix(bucket, prefix)
        self._account = account
        self._bucket = bucket
        self._prefix = prefix
        self._keys = [slot_key(prefix, number) for number in range(count)]
        self._body = body
        self._clock = clock

    def try_claim(self) -> Lease | None:
        """Take a slot that nobody holds; None if all are held.

        :returns: a lease, to be renewed and, when the session's cluster has ended, removed.
        :raises IsolatedEmrError: AWS refused it, or did not answer. What it may have claimed lapses, and
            :func:`remove_slots` finds it.
        """
        for key in self._keys:
            state = read_lease(self._account, self._bucket, key)
            if state is not None and not (state.is_lapsed or self._is_ours(state)):
                continue
            slot = Lease(self._account, self._bucket, key, replace(self._body), clock=self._clock)
            try:
                if state is None:
                    slot.take()
                else:
                    slot.take_over(state)
            except errors.LeaseLapsed:
                # Another session was quicker.
                continue
            return slot
        return None

    def holders(self) -> list[Holder]:
        """Return who holds the slots now; those of which it cannot be told are not among them."""
        return [holder for state in self._held() if (holder := _holder(state)) is not None]

    def words(self) -> str:
        """Return who holds the slots, to be shown while one waits."""
        held = self._held()
        named = [str(_holder(state) or f"s3://{self._bucket}/{state.key} cannot be read") for state in held]
        where = f"s3://{self._bucket}/{self._prefix}"
        return f"{len(held)} of {len(self._keys)} sessions run on {where}: {', '.join(named) or 'none'}"

    def refusal(self, waited: float) -> errors.NoSlot:
        """Return the error of a session that waited in vain.

        :param waited: for so long, in seconds.
        """
        return errors.NoSlot(
            f"No other session ended in the {waited:.0f} seconds that this one waited for its turn.",
            checked=self.words(),
            cure="Run later, wait for longer, or allow more sessions at once. A slot whose session is gone becomes free by"
            " itself; one that cannot be read is yours to delete.",
        )

    def _held(self) -> list[LeaseState]:
        states = [read_lease(self._account, self._bucket, key) for key in self._keys]
        return [state for state in states if state is not None and not state.is_lapsed]

    def _is_ours(self, state: LeaseState) -> bool:
        """Whether an earlier claim, whose answer was lost, was one."""
        return state.body is not None and state.body.token == self._body.token


def slot_key(prefix: str, number: int) -> str:
    """Return the key of a slot.

    :param prefix: of the scratch.
    :param number: of the slot, from 0 on.
    """
    return f"{prefix}/{SLOTS}{number}.json"


def list_slots(account: Account, bucket: str, prefix: str) -> list[LeaseState]:
    """Return all slots of a scratch that there are objects of, however many sessions may run now.

    :param account: whose bucket it is in.
    :param bucket: its name.
    :param prefix: of the scratch.
    :raises ValueError: the prefix is none.
    :raises IsolatedEmrError: AWS refused it, or did not answer.
    """
    check_prefix(bucket, prefix)
    root = f"{prefix}/{SLOTS}"
    with aws_errors(f"listing the slots s3://{bucket}/{root} (s3:ListBucket)"):
        pages = account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    states = [read_lease(account, bucket, key) for key in keys if _NUMBERED.fullmatch(key.removeprefix(root))]
    return [state for state in states if state is not None]


def remove_slot(account: Account, bucket: str, key: str, run_id: str) -> bool:
    """Give back a slot of a session that is known to be dead, lapsed or not.

    :param account: whose bucket it is in.
    :param bucket: its name.
    :param key: the slot's.
    :param run_id: the session's. A slot that says another one is left alone.
    :returns: whether the session has the slot no more.
    :raises IsolatedEmrError: AWS refused it, or did not answer.
    """
    state = read_lease(account, bucket, key)
    if state is None or state.body is None or state.body.run_id != run_id:
        return True
    return remove_lease(account, bucket, state)


def remove_slots(account: Account, bucket: str, prefix: str, run_id: str) -> list[str]:
    """Give back every slot of a session that is known to be dead.

    :param account: whose bucket it is in.
    :param bucket: its name.
    :param prefix: of the scratch.
    :param run_id: the session's.
    :returns: what could not be removed, and why.
    :raises IsolatedEmrError: AWS refused it, or did not answer.
    """
    return [
        f"s3://{bucket}/{state.key} is written again and again"
        for state in list_slots(account, bucket, prefix)
        if not remove_slot(account, bucket, state.key, run_id)
    ]


def _holder(state: LeaseState) -> Holder | None:
    body, age = state.body, state.age
    if body is None or age is None:
        return None
    return Holder(state.key, body.run_id, body.owner, body.host.name, body.started, age)
