"""Leases: their owner's side, and what others may conclude."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.lease import Lease, LeaseBody, read_lease, remove_lease
from tests.emr_backend.s3_endpoint import ATTEMPTS, Scratch, Server

RUN_ID = "20261123t211623-9f3c2a"
KEY = f"team/scratch/{RUN_ID}/lease.json"
SECONDS = 900.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def new_body(owner: str = "alice", seconds: float = SECONDS) -> LeaseBody:
    return LeaseBody.of_this_process(RUN_ID, owner, seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(scratch: Scratch, clock: Clock) -> Lease:
    return Lease(scratch.account, scratch.bucket, KEY, new_body(), clock=clock)


@pytest.fixture
def other(scratch: Scratch) -> Lease:
    """Somebody else's, by way of their own account's clients."""
    return Lease(scratch.another_account(), scratch.bucket, KEY, new_body("bob"))


def stored(scratch: Scratch) -> LeaseBody | None:
    state = read_lease(scratch.another_account(), scratch.bucket, KEY)
    assert state is not None
    return state.body


def test_it_says_whose_it_is(lease: Lease, scratch: Scratch):
    assert read_lease(scratch.account, scratch.bucket, KEY) is None
    lease.take()
    state = read_lease(scratch.account, scratch.bucket, KEY)
    assert state is not None
    assert state.body == lease.body
    assert state.body.owner == "alice"
    assert state.is_dated
    assert not state.is_lapsed


def test_only_one_takes_it(lease: Lease, other: Lease, scratch: Scratch):
    lease.take()
    with pytest.raises(errors.LeaseLapsed, match=f"that of alice on .* \\(run {RUN_ID}\\)"):
        other.take()
    assert stored(scratch) == lease.body


def test_each_renewal_is_another_write(lease: Lease, scratch: Scratch):
    lease.take()
    etags = set()
    for _ in range(3):
        state = read_lease(scratch.account, scratch.bucket, KEY)
        assert state is not None
        etags.add(state.etag)
        lease.renew()
    assert len(etags) == 3


def test_it_is_removed_once(lease: Lease, scratch: Scratch):
    lease.take()
    lease.remove()
    assert scratch.everything() == []
    lease.remove()


@pytest.mark.parametrize("count", [1, 3])
def test_removed_with_its_versions(lease: Lease, scratch: Scratch, count: int):
    scratch.version_all()
    scratch.put(f"{KEY}.copy")
    for _ in range(count):
        lease.take()
        lease.renew()
        lease.remove()
    assert scratch.everything() == [(f"{KEY}.copy", "Versions")]


def test_removed_with_its_versions_though_nobody_heard_of_it(lease: Lease, scratch: Scratch, server: Server):
    """Whatever deletion is the last that S3 answers, the next removal goes on with it."""
    scratch.version_all()
    lease.take()
    lease.renew()
    lease.renew()
    for _ in range(3):
        server.lose_answers("DeleteObject", ATTEMPTS)
        with pytest.raises(errors.AwsUnreachable):
            lease.remove()
    assert scratch.everything() == []
    lease.remove()


def test_renewal_after_it_was_deleted(lease: Lease, scratch: Scratch):
    lease.take()
    scratch.s3.delete_object(Bucket=scratch.bucket, Key=KEY)
    with pytest.raises(errors.LeaseLapsed, match="it was deleted"):
        lease.renew()
    assert scratch.everything() == []


def test_renewal_after_it_was_taken_over(lease: Lease, other: Lease, scratch: Scratch):
    lease.take()
    state = read_lease(scratch.account, scratch.bucket, KEY)
    assert state is not None
    other.take_over(state)
    with pytest.raises(errors.LeaseLapsed, match="that of bob"):
        lease.renew()
    lease.remove()
    assert stored(scratch) == other.body


def test_renewal_after_it_was_damaged(lease: Lease, scratch: Scratch):
    lease.take()
    scratch.put(KEY, b"{}")
    with pytest.raises(errors.LeaseLapsed, match="damaged"):
        lease.renew()


def test_taking_over_what_was_renewed_meanwhile(lease: Lease, other: Lease, scratch: Scratch):
    lease.take()
    state = read_lease(scratch.account, scratch.bucket, KEY)
    assert state is not None
    lease.renew()
    with pytest.raises(errors.LeaseLapsed):
        other.take_over(state)
    assert not remove_lease(scratch.account, scratch.bucket, state)
    lease.renew()
    assert stored(scratch) == lease.body


@pytest.mark.parametrize("count", [1, ATTEMPTS - 1])
def test_an_answer_lost_after_the_effect(lease: Lease, scratch: Scratch, server: Server, count: int):
    server.lose_answers("PutObject", count)
    lease.take()
    assert stored(scratch) == lease.body
    server.lose_answers("PutObject", count)
    lease.renew()
    assert stored(scratch) == lease.body
    lease.renew()
    assert stored(scratch) == lease.body


def test_no_answer_at_all_after_the_effect(lease: Lease, scratch: Scratch, server: Server):
    """botocore gives up; the lease is read back."""
    calls: list[str] = []
    scratch.s3.meta.events.register("before-call.s3.PutObject", lambda **_kwargs: calls.append("one more"))
    server.lose_answers("PutObject", ATTEMPTS)
    lease.take()
    server.lose_answers("PutObject", ATTEMPTS)
    lease.renew()
    lease.renew()
    assert stored(scratch) == lease.body
    assert len(calls) == 3


def test_cut_off_after_the_effect(lease: Lease, scratch: Scratch, server: Server):
    """Not even reading back has an answer: the next renewal goes on from the write of which nobody heard."""
    lease.take()
    server.lose_answers("PutObject", ATTEMPTS)
    server.lose_answers("GetObject", ATTEMPTS)
    with pytest.raises(errors.AwsUnreachable):
        lease.renew()
    lease.renew()
    assert stored(scratch) == lease.body


def test_theft_behind_a_lost_answer(lease: Lease, other: Lease, scratch: Scratch, server: Server):
    lease.take()

    def steal() -> None:
        state = read_lease(scratch.another_account(), scratch.bucket, KEY)
        assert state is not None
        other.take_over(state)

    server.lose_answers("PutObject", 1, then=steal)
    with pytest.raises(errors.LeaseLapsed, match="that of bob"):
        lease.renew()
    assert stored(scratch) == other.body


def test_a_lost_answer_to_its_removal(lease: Lease, scratch: Scratch, server: Server):
    lease.take()
    server.lose_answers("DeleteObject", 1)
    lease.remove()
    assert scratch.everything() == []


def test_a_write_that_met_another(lease: Lease, scratch: Scratch):
    """S3 answers 409 to one of two conditional writes at once; moto never does."""
    codes = iter([409, 409])

    def conflict(response_dict: dict[str, Any], **_kwargs: Any) -> None:
        for code in codes:
            response_dict["status_code"] = code
            response_dict["body"] = (
                b"<Error><Code>ConditionalRequestConflict</Code><Message>Conflict</Message></Error>"
            )
            break

    scratch.s3.meta.events.register("before-parse.s3.PutObject", conflict)
    lease.take()
    lease.renew()
    assert stored(scratch) == lease.body


def test_refused_is_not_lapsed(lease: Lease, scratch: Scratch):
    scratch.s3.put_bucket_policy(
        Bucket=scratch.bucket,
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:PutObject",
                        "Resource": f"arn:aws:s3:::{scratch.bucket}/*",
                    }
                ],
            }
        ),
    )
    with pytest.raises(errors.AwsRefused, match="s3:PutObject"):
        lease.take()


def test_the_bucket_is_gone(scratch: Scratch):
    lease = Lease(scratch.account, f"{scratch.bucket}-gone", KEY, new_body())
    with pytest.raises(errors.AwsRefused, match="NoSuchBucket"):
        lease.take()
    with pytest.raises(errors.AwsRefused, match="NoSuchBucket"):
        read_lease(scratch.account, f"{scratch.bucket}-gone", KEY)


# The owner's own side.


def test_its_owner_counts_by_its_own_clock(lease: Lease, clock: Clock):
    assert lease.has_lapsed
    lease.take()
    assert not lease.has_lapsed
    clock.now += SECONDS - 1
    assert not lease.has_lapsed
    lease.renew()
    clock.now += SECONDS - 1
    assert not lease.has_lapsed
    clock.now += 1
    assert lease.has_lapsed
    with pytest.raises(errors.LeaseLapsed, match="not renewed for 900 seconds"):
        lease.renew()


def test_it_counts_from_when_a_write_was_sent(lease: Lease, clock: Clock, scratch: Scratch):
    lease.take()

    def be_slow(**_kwargs: Any) -> None:
        clock.now += 100

    scratch.s3.meta.events.register("before-parse.s3.PutObject", be_slow)
    lease.renew()
    clock.now += SECONDS - 100
    assert lease.has_lapsed


def test_a_failed_renewal_does_not_count(lease: Lease, clock: Clock, server: Server):
    lease.take()
    clock.now += SECONDS - 1
    server.lose_answers("PutObject", ATTEMPTS)
    server.lose_answers("GetObject", ATTEMPTS)
    with pytest.raises(errors.AwsUnreachable):
        lease.renew()
    clock.now += 1
    assert lease.has_lapsed


# What others may conclude.


@pytest.mark.parametrize("ahead", [timedelta(days=-3), timedelta(), timedelta(days=400)])
@pytest.mark.parametrize(
    ("aged", "lapsed"), [(0.0, False), (SECONDS, False), (SECONDS + 4, False), (SECONDS + 7, True)]
)
def test_only_the_servers_clock_counts(
    lease: Lease, scratch: Scratch, server: Server, ahead: timedelta, aged: float, lapsed: bool
):
    lease.take()
    server.ahead, server.aged = ahead, timedelta(seconds=aged)
    state = read_lease(scratch.account, scratch.bucket, KEY)
    assert state is not None
    assert state.is_lapsed is lapsed


def test_an_owner_with_a_wrong_clock(scratch: Scratch, server: Server):
    body = replace(new_body(), started=new_body().started - timedelta(days=3000))
    Lease(scratch.account, scratch.bucket, KEY, body).take()
    state = read_lease(scratch.account, scratch.bucket, KEY)
    assert state is not None
    assert not state.is_lapsed


def test_a_lease_of_no_time_at_all(scratch: Scratch, server: Server):
    Lease(scratch.account, scratch.bucket, KEY, new_body(seconds=0.001)).take()
    state = read_lease(scratch.account, scratch.bucket, KEY)
    assert state is not None
    assert not state.is_lapsed
    server.aged = timedelta(seconds=12)
    state = read_lease(scratch.account, scratch.bucket, KEY)
    assert state is not None
    assert state.is_lapsed


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"seconds": 1}', new_body().to_bytes()[:-9]],
)
def test_a_damaged_lease_never_lapses(scratch: Scratch, server: Server, damaged: bytes):
    scratch.put(KEY, damaged)
    server.aged = timedelta(days=4000)
    state = read_lease(scratch.account, scratch.bucket, KEY)
    assert state is not None
    assert state.body is None
    assert not state.is_dated
    assert not state.is_lapsed


def test_one_that_the_server_does_not_date(lease: Lease, scratch: Scratch):
    lease.take()
    for date in ("", "yesterday"):

        def alter(response_dict: dict[str, Any], date: str = date, **_kwargs: Any) -> None:
            response_dict["headers"]["date"] = date

        scratch.s3.meta.events.register("before-parse.s3.GetObject", alter)
        state = read_lease(scratch.account, scratch.bucket, KEY)
        assert state is not None
        assert not state.is_dated
        assert not state.is_lapsed


FIELDS: dict[str, Any] = json.loads(new_body().to_bytes())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def parsed(stored: bytes) -> LeaseBody | None:
    try:
        return LeaseBody.from_bytes(stored)
    except ValueError:
        return None


@given(st.binary())
def test_any_bytes(stored: bytes):
    assert parsed(stored) is None


@given(st.sampled_from(sorted(FIELDS)), JSON)
def test_any_value_of_a_field(name: str, value: Any):
    body = parsed(json.dumps(FIELDS | {name: value}).encode())
    if body is not None:
        assert 0 < body.seconds <= 86400
        assert all(text.isprintable() for text in (body.run_id, body.owner, body.token, body.host.name))
        assert body.started.tzinfo is not None
        assert LeaseBody.from_bytes(body.to_bytes()) == body


@given(st.sampled_from(sorted(FIELDS)))
def test_every_field_is_needed(name: str):
    assert parsed(json.dumps({key: value for key, value in FIELDS.items() if key != name}).encode()) is None


@given(st.integers(0, len(new_body().to_bytes()) - 1))
def test_a_body_that_was_cut(length: int):
    assert parsed(new_body().to_bytes()[:length]) is None


@pytest.mark.parametrize("seconds", [0, -1, True, "900", 1e9, float("nan"), float("inf"), None])
def test_times_that_are_none(seconds: Any):
    assert parsed(json.dumps(FIELDS | {"seconds": seconds}).encode()) is None


@pytest.mark.parametrize("owner", ["", "al\x1b[2Jice", "a\nb", 7])
def test_names_that_cannot_be_shown(owner: Any):
    assert parsed(json.dumps(FIELDS | {"owner": owner}).encode()) is None


def test_twenty_at_once(scratch: Scratch):
    leases = [
        Lease(scratch.another_account(), scratch.bucket, KEY, new_body(f"user{number}"))
        for number in range(20)
    ]

    def take(lease: Lease) -> bool:
        try:
            lease.take()
        except errors.LeaseLapsed:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(take, leases))
    assert taken.count(True) == 1
    assert stored(scratch) == leases[taken.index(True)].body
