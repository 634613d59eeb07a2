from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pytest_isolated_emr.lifecycle import leftovers, processes
from pytest_isolated_emr.lifecycle.host import Host, this_host
from pytest_isolated_emr.lifecycle.journal import Resource
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_VARIABLE, new_run_id
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory, SessionMetadata, take_over
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import plan, sweep

Start = Callable[..., "subprocess.Popen[str]"]
MakeMetadata = Callable[..., SessionMetadata]
MakeSession = Callable[..., SessionDirectory]


def names(root: StateRoot) -> list[str]:
    return sorted(path.name for path in root.sessions.iterdir())


def age(path: Path, by: timedelta) -> None:
    then = datetime.now(timezone.utc).timestamp() - by.total_seconds()
    os.utime(path, (then, then))


def test_nothing_is_left_where_nothing_was(tmp_path: Path) -> None:
    assert plan(StateRoot(tmp_path / "nowhere")) == []


def test_a_live_session_is_in_no_list(root: StateRoot, session: MakeSession) -> None:
    live = session()
    assert plan(root) == []
    report = sweep(root, delete=True, kept=True)
    assert (report.removed, report.failed, report.reported) == ([], [], [])
    assert (live.path / "scratch" / "deep" / "file").exists()
    live.release()


def test_a_dead_one_is_listed_and_goes_only_if_told_so(root: StateRoot, session: MakeSession) -> None:
    dead = session()
    dead.release()
    (leftover,) = plan(root)
    assert (leftover.name, leftover.standing) == (dead.run_id, "dead")
    assert leftover.size_bytes > 10_000
    assert sweep(root).removed == [leftover]
    assert names(root) == [dead.run_id]
    assert sweep(root, delete=True).removed == [leftover]
    assert names(root) == []


def test_its_processes_end(root: StateRoot, session: MakeSession, start: Start) -> None:
    dead = session()
    recorded, bystander, reused = start(), start(), start()
    # The last of these was started when the keeper was killed, so that only its mark tells whose it is.
    marked = start(env={**os.environ, RUN_ID_VARIABLE: dead.run_id})
    for role, process in {"endpoint": recorded, "other": reused}.items():
        identity = ProcessIdentity.of(process.pid)
        if process is reused:
            identity = replace(identity, started=1)
        dead.journal.created(dead.journal.intend("process", role), **identity.to_dict())
    dead.journal.intend("process", "spark")
    dead.release()
    (leftover,) = plan(root)
    assert {identity.pid for identity in leftover.processes} == {recorded.pid, marked.pid}
    assert recorded.poll() is None
    report = sweep(root, delete=True)
    assert (len(report.removed), report.failed, report.reported) == (1, [], [])
    assert (recorded.wait(), marked.wait()) == (-9, -9)
    assert (bystander.poll(), reused.poll()) == (None, None)
    assert names(root) == []


def test_a_process_that_cannot_be_ended_keeps_its_session_on_record(
    root: StateRoot, session: MakeSession, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, process = session(), start()
    identity = ProcessIdentity.of(process.pid)
    dead.journal.created(dead.journal.intend("process", "endpoint"), **identity.to_dict())
    dead.release()
    monkeypatch.setattr(processes, "_send", lambda *_: None)
    monkeypatch.setattr(processes, "KILL_WAIT_SECONDS", 0)
    (failure,) = sweep(root, delete=True).failed
    assert failure.problems == [f"process {process.pid} could not be ended"]
    assert (dead.path / "scratch").exists()


def test_a_live_session_inside_a_dead_one_lives_on(
    root: StateRoot, session: MakeSession, start: Start
) -> None:
    # A job of the outer session ran pytest: the inner keeper descends from the outer and has its mark.
    outer = session()
    keeper = start(env={**os.environ, RUN_ID_VARIABLE: outer.run_id})
    inner = session(keeper=ProcessIdentity.of(keeper.pid))
    endpoint = start(env={**os.environ, RUN_ID_VARIABLE: outer.run_id})
    identity = ProcessIdentity.of(endpoint.pid)
    inner.journal.created(inner.journal.intend("process", "endpoint"), **identity.to_dict())
    outer.release()
    assert [leftover.processes for leftover in plan(root)] == [[]]
    assert len(sweep(root, delete=True).removed) == 1
    assert names(root) == [inner.run_id]
    assert (keeper.poll(), endpoint.poll()) == (None, None)
    inner.release()


def test_a_keeper_without_its_lock_is_left_alone(root: StateRoot, session: MakeSession, start: Start) -> None:
    unsure = session(keeper=ProcessIdentity.of(start().pid))
    unsure.release()
    assert [leftover.standing for leftover in sweep(root, delete=True).reported] == ["unsure"]
    assert (unsure.path / "scratch").exists()


@pytest.mark.parametrize("where", ["metadata", "journal", "both"])
def test_another_machines_session_is_only_reported(
    root: StateRoot, metadata: MakeMetadata, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    other = Host("elsewhere", "1234")
    with monkeypatch.context() as patch:
        if where != "metadata":
            patch.setattr("pytest_isolated_emr.lifecycle.journal.this_host", lambda: other)
        session = SessionDirectory.create(root, new_run_id())
    session.write_metadata(metadata(session.run_id, host=this_host() if where == "journal" else other))
    session.release()
    (leftover,) = sweep(root, delete=True, kept=True).reported
    assert leftover.standing == "foreign-host"
    assert "elsewhere" in leftover.reason
    assert names(root) == [session.run_id]


def test_another_users_session_is_only_reported(
    root: StateRoot, session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session().release()
    user = os.geteuid()
    monkeypatch.setattr(leftovers.os, "geteuid", lambda: user + 1)
    assert [leftover.standing for leftover in sweep(root, delete=True).reported] == ["foreign-user"]
    assert len(names(root)) == 1


def test_a_link_is_reported_and_not_followed(root: StateRoot, session: MakeSession, tmp_path: Path) -> None:
    dead = session()
    dead.release()
    moved = tmp_path / dead.run_id
    dead.path.rename(moved)
    dead.path.symlink_to(moved)
    assert [leftover.standing for leftover in sweep(root, delete=True).reported] == ["link"]
    assert (moved / "scratch" / "deep" / "file").exists()
    assert dead.path.is_symlink()


@pytest.mark.parametrize("name", ["notes.txt", "20261123", ".new-", ".hidden", "20261123t211623-9f3c2a.bak"])
@pytest.mark.parametrize("directory", [True, False])
def test_what_is_named_oddly_is_reported(root: StateRoot, name: str, directory: bool) -> None:
    path = root.sessions / name
    path.mkdir() if directory else path.write_text("mine")
    age(path, timedelta(days=30))
    assert [leftover.standing for leftover in sweep(root, delete=True, kept=True).reported] == ["odd"]
    assert path.exists()


def test_links_in_a_dead_session_go_and_their_targets_stay(
    root: StateRoot, session: MakeSession, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    dead = session()
    (dead.path / "out").symlink_to(outside)
    (dead.path / "scratch" / "file").symlink_to(outside / "file")
    dead.release()
    assert len(sweep(root, delete=True).removed) == 1
    assert names(root) == []
    assert (outside / "file").read_text() == "mine"


def test_without_metadata_the_journal_tells_whose_it_is(root: StateRoot, session: MakeSession) -> None:
    dead = session()
    (dead.path / "session.json").write_text("{")
    dead.release()
    assert [leftover.name for leftover in sweep(root, delete=True).removed] == [dead.run_id]


def test_without_any_evidence_it_stays(root: StateRoot, session: MakeSession) -> None:
    dead = session()
    dead.release()
    (dead.path / "session.json").write_text("{")
    lines = (dead.path / "journal").read_bytes().splitlines(keepends=True)
    (dead.path / "journal").write_bytes(b"".join(lines[1:]))
    assert [leftover.standing for leftover in sweep(root, delete=True).reported] == ["damaged"]
    assert (dead.path / "scratch").exists()


@pytest.mark.parametrize("damage", ["lock", "run_id", "unreadable"])
def test_a_damaged_one_stays(
    root: StateRoot,
    session: MakeSession,
    metadata: MakeMetadata,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    dead = session()
    if damage == "run_id":
        dead.write_metadata(metadata(new_run_id()))
    dead.release()
    if damage == "lock":
        (dead.path / "lock").unlink()
    if damage == "unreadable":

        def refuse(path: Path) -> bool:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(leftovers, "is_alive", refuse)
    assert [leftover.standing for leftover in sweep(root, delete=True).reported] == ["damaged"]
    assert (dead.path / "scratch").exists()


def test_a_new_one_is_given_an_hour(root: StateRoot) -> None:
    new = root.sessions / f".new-{new_run_id()}"
    new.mkdir()
    (new / "lock").touch()
    age(new, timedelta(minutes=59))
    assert plan(root) == []
    age(new, timedelta(minutes=61))
    assert [leftover.standing for leftover in plan(root)] == ["dead"]
    with take_over(new):
        assert plan(root) == []
    assert len(sweep(root, delete=True).removed) == 1
    assert names(root) == []


def test_a_new_one_that_has_its_journal_goes_as_well(root: StateRoot) -> None:
    code = """
import os, sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory
from pytest_isolated_emr.lifecycle.state_root import StateRoot
Path.rename = lambda *_: os.kill(os.getpid(), 9)
SessionDirectory.create(StateRoot(Path(sys.argv[1])), sys.argv[2])
"""
    run_id = new_run_id()
    assert subprocess.run([sys.executable, "-c", code, str(root.path), run_id]).returncode == -9
    assert names(root) == [f".new-{run_id}"]
    assert (root.sessions / f".new-{run_id}" / "journal").exists()
    age(root.sessions / f".new-{run_id}", timedelta(hours=2))
    assert len(sweep(root, delete=True).removed) == 1
    assert names(root) == []


@pytest.mark.parametrize("left", [[], ["lock"]])
def test_what_a_killed_sweep_left_goes(root: StateRoot, left: list[str]) -> None:
    path = root.sessions / new_run_id()
    path.mkdir()
    for name in left:
        (path / name).touch()
    assert len(sweep(root, delete=True).removed) == 1
    assert names(root) == []


def test_other_kinds_go_by_their_removers_in_reverse(root: StateRoot, session: MakeSession) -> None:
    dead = session()
    dead.journal.created(dead.journal.intend("container", "first"), id="1")
    dead.journal.intend("cluster", "second")
    dead.journal.removed(dead.journal.intend("container", "gone"))
    dead.release()
    removed: list[tuple[str, str, dict[str, object]]] = []

    def remove(run_id: str, resource: Resource) -> None:
        removed.append((run_id, resource.name, resource.facts))

    report = sweep(root, delete=True, removers={"container": remove, "cluster": remove})
    assert report.failed == []
    assert removed == [(dead.run_id, "second", {}), (dead.run_id, "first", {"id": "1"})]
    assert names(root) == []


def test_what_no_remover_removes_keeps_its_session_on_record(root: StateRoot, session: MakeSession) -> None:
    dead = session()
    for kind in ("container", "cluster", "unheard-of"):
        dead.journal.created(dead.journal.intend(kind, "one"))
    dead.release()

    def fail(run_id: str, resource: Resource) -> None:
        raise RuntimeError("no daemon")

    done: list[Resource] = []

    def succeed(run_id: str, resource: Resource) -> None:
        done.append(resource)

    (failure,) = sweep(root, delete=True, removers={"cluster": fail, "container": succeed}).failed
    assert failure.problems == [
        "unheard-of one: nothing here knows how to remove that kind",
        "cluster one: no daemon",
    ]
    assert (dead.path / "scratch").exists()
    assert len(done) == 1
    # What went is not asked for again.
    assert [resource.kind for resource in plan(root)[0].resources] == ["cluster", "unheard-of"]
    removers = dict.fromkeys(("container", "cluster", "unheard-of"), succeed)
    assert sweep(root, delete=True, removers=removers).failed == []
    assert [resource.kind for resource in done] == ["container", "unheard-of", "cluster"]


def test_one_failure_does_not_stop_the_rest(
    root: StateRoot, session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = sorted([session(), session(), session()], key=lambda one: one.run_id)
    (dead[1].path / "stuck").write_text("x")
    for one in dead:
        one.release()
    real = os.unlink

    def unlink(path: str, *, dir_fd: int | None = None) -> None:
        if path == "stuck":
            raise PermissionError(1, "Operation not permitted")
        real(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        report = sweep(root, delete=True)
    assert [failure.problems for failure in report.failed] == [["stuck: [Errno 1] Operation not permitted"]]
    assert names(root) == [dead[1].run_id]
    # The record is still there, so the next one can finish.
    assert len(sweep(root, delete=True).removed) == 1
    assert names(root) == []


def test_a_session_that_another_sweep_has_is_left_to_it(
    root: StateRoot, session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = session()
    dead.release()
    seen = plan(root)
    monkeypatch.setattr("pytest_isolated_emr.lifecycle.sweep.plan", lambda *_, **__: seen)
    with take_over(dead.path):
        report = sweep(root, delete=True)
        assert (report.removed, report.failed) == ([], [])
    assert len(sweep(root, delete=True).removed) == 1
    # And one that it has finished is no error either.
    report = sweep(root, delete=True)
    assert (report.removed, report.failed) == ([], [])


def test_what_changed_since_the_list_was_made_is_judged_again(
    root: StateRoot, session: MakeSession, metadata: MakeMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = session()
    dead.release()
    seen = plan(root)
    monkeypatch.setattr("pytest_isolated_emr.lifecycle.sweep.plan", lambda *_, **__: seen)
    dead.write_metadata(metadata(dead.run_id, host=Host("elsewhere", "1")))
    assert [leftover.standing for leftover in sweep(root, delete=True).reported] == ["foreign-host"]
    assert (dead.path / "scratch").exists()
