"""What is kept of failed tests stays for a while after the session's end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from pytest_isolated_emr.lifecycle.journal import Resource, read_journal
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import sweep

MakeSession = Callable[..., SessionDirectory]


def names(root: StateRoot) -> list[str]:
    return sorted(path.name for path in root.sessions.iterdir())


def kept_session(session: MakeSession, *, ended: bool = True) -> SessionDirectory:
    kept = session()
    kept.journal.kept(kept.journal.intend("directory", "kept/test_a"), why="it failed")
    (kept.path / "kept" / "test_a").mkdir(parents=True)
    (kept.path / "kept" / "test_a" / "log").write_text("why")
    if ended:
        kept.journal.end()
    kept.release()
    return kept


@pytest.mark.parametrize("ended", [True, False])
def test_what_is_kept_stays_three_days_and_all_else_goes_at_once(
    root: StateRoot, session: MakeSession, ended: bool
) -> None:
    kept = kept_session(session, ended=ended)
    end = read_journal(kept.path / "journal").last
    assert end is not None
    (removed,) = sweep(root, delete=True).removed
    assert removed.kept_until == end + timedelta(days=3)
    assert sorted(path.name for path in kept.path.iterdir()) == ["journal", "kept", "lock", "session.json"]
    report = sweep(root, delete=True, now=end + timedelta(days=3, seconds=-1))
    assert [leftover.standing for leftover in report.reported] == ["kept"]
    assert (kept.path / "kept" / "test_a" / "log").read_text() == "why"
    assert len(sweep(root, delete=True, now=end + timedelta(days=3)).removed) == 1
    assert names(root) == []


def test_what_is_kept_goes_if_told_so(root: StateRoot, session: MakeSession) -> None:
    kept_session(session)
    assert len(sweep(root, delete=True, kept=True).removed) == 1
    assert names(root) == []


def test_a_kept_part_that_the_journal_does_not_name_goes(root: StateRoot, session: MakeSession) -> None:
    dead = session()
    (dead.path / "kept").mkdir()
    dead.release()
    assert len(sweep(root, delete=True).removed) == 1
    assert names(root) == []


def test_what_is_kept_elsewhere_waits_as_well(root: StateRoot, session: MakeSession) -> None:
    dead = session()
    dead.journal.kept(dead.journal.intend("cluster", "one"))
    dead.journal.end()
    dead.release()
    done: list[Resource] = []
    removers = {"cluster": lambda run_id, resource: done.append(resource)}
    sweep(root, delete=True, removers=removers)
    assert done == []
    assert names(root) == [dead.run_id]
    sweep(root, delete=True, kept=True, removers=removers)
    assert len(done) == 1
    assert names(root) == []
