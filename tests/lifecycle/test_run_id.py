from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_isolated_emr.lifecycle.run_id import is_run_id, new_run_id, started_at


def test_new_ones_differ_and_say_when() -> None:
    ids = {new_run_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(is_run_id(run_id) for run_id in ids)
    now = datetime.now(timezone.utc)
    assert all(now - timedelta(minutes=5) < started_at(run_id) <= now for run_id in ids)


def test_the_time_is_in_utc() -> None:
    assert started_at("20261123t211623-9f3c2a") == datetime(2026, 11, 23, 21, 16, 23, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "20261123t211623",
        "20261123t211623-9f3c2",
        "20261123t211623-9F3C2A",
        "20261123T211623-9f3c2a",
        "20261123t211623-9f3c2a\n",
        "20261123t211623-9f3c2a/..",
        "20261323t211623-9f3c2a",
        "\uff120261123t211623-9f3c2a",
        ".new-20261123t211623-9f3c2a",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert not is_run_id(text)
    with pytest.raises(ValueError, match=r"run id|does not match"):
        started_at(text)


@given(st.text())
def test_what_is_accepted_is_safe_in_a_path(text: str) -> None:
    assert not is_run_id(text) or set(text) <= set("0123456789abcdeft-")
