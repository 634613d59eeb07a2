"""Run ids with parts of a path, lines and more in them, wherever one is read: they name no session and no file."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pytest_isolated_emr.errors import KeeperDied
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.lifecycle.admission import WAITS, Admission, Claim, Ticket, tickets
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory, session_directories
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot, offered
from pytest_isolated_emr.lifecycle.sweep import sweep
from pytest_isolated_emr.session import session_to_join

from .conftest import assert_untouched, command_line, make_session, metadata_of

RUN_ID = "20261123t211623-9f3c2a"

#: What is beside the state root has the name ``precious``.
HOSTILE = {
    "parts of a path": "../../precious",
    "a whole path": "/etc",
    "a run id, and more parts": f"{RUN_ID}/../../../precious",
    "a line's end": f"{RUN_ID}\n",
    "a line before": f"precious\n{RUN_ID}",
    "a zero": f"{RUN_ID}\0",
    "a dot": ".",
    "the place above": "..",
    "nothing": "",
    "very long": "20261123t211623-" + "a" * 5000,
    "digits of other scripts": "\u0662\u0660261123t211623-9f3c2a",
    "an option": "--delete",
    "a mark": "[/x]",
}
#: Those that a variable or an argument may have.
WORDS = [text for text in HOSTILE.values() if text and "\0" not in text]
CLAIM = Claim(1 << 20, 1)


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_no_session_is_made(root, precious, hostile):
    with pytest.raises(ValueError, match="not a run id"):
        SessionDirectory.create(root, hostile)
    assert list(root.sessions.iterdir()) == []
    assert_untouched(precious)


def test_a_session_that_says_so_of_itself_is_none(root, precious, hostile):
    session = make_session(root)
    session.write_metadata(replace(metadata_of(session.run_id), run_id=hostile, started="?"))
    assert command_line(root.path, "ps", "--json").stdout == "[]\n"
    session.release()
    report = sweep(root, delete=True, kept=True)
    assert (report.removed, report.failed) == ([], [])
    assert [leftover.standing for leftover in report.reported] == ["damaged"]
    assert (session.path / "scratch" / "file").exists()
    # Its own name is known by its directory.
    assert "what the keeper said" in command_line(root.path, "logs").stdout
    assert_untouched(precious)


def test_a_journal_that_names_it_leads_nowhere(root, precious, hostile):
    dead = make_session(root)
    entry = dead.journal.intend("container", hostile)
    dead.journal.created(entry, id=hostile, run_id=hostile)
    dead.release()
    told = []

    def remover(run_id, resource):
        told.append(run_id)

    report = sweep(root, delete=True, removers={"container": remover})
    assert len(report.removed) == 1
    # A remover hears of the session by its directory's name alone.
    assert told == [dead.run_id]
    assert_untouched(precious)


def test_the_place_of_a_spare_names_none(root, precious, hostile):
    key = "f" * 32
    slot = SpareSlot(root, key)
    assert slot.take()
    slot.offer(hostile)
    assert offered(root, key) == ""
    slot.give_up()
    assert_untouched(precious)


def test_a_ticket_with_it_is_nobodys(root, hostile):
    place = Admission(root, CLAIM)
    assert place.enter(Ticket.now(hostile, "/", CLAIM, WAITS))
    assert tickets(root) == []
    # Nor does anybody wait for it.
    other = Admission(root, CLAIM)
    assert other.enter(Ticket.now(new_run_id(), "/", CLAIM, WAITS))
    assert other.try_admit()
    place.leave()
    other.leave()


@pytest.mark.parametrize("text", ["Infinity", "-1", "1e999", "null", '"1"' * 2])
def test_a_ticket_that_claims_no_number_is_nobodys(root, text):
    place = Admission(root, CLAIM)
    assert place.enter(Ticket.now(new_run_id(), "/", CLAIM, WAITS))
    (path,) = root.admission.glob("0*")
    path.write_text(path.read_text().replace(str(CLAIM.memory), text))
    assert tickets(root) == []
    other = Admission(root, CLAIM)
    assert other.enter(Ticket.now(new_run_id(), "/", CLAIM, WAITS))
    assert other.try_admit()
    place.leave()
    other.leave()


def test_a_ticket_since_a_time_of_nowhere_is_nobodys(root):
    place = Admission(root, CLAIM)
    assert place.enter(replace(Ticket.now(new_run_id(), "/", CLAIM, WAITS), since="2026-11-23T21:16:23"))
    assert tickets(root) == []
    place.leave()


@pytest.mark.parametrize("name", WORDS)
def test_logs_shows_no_directory_by_it(root, precious, name):
    make_session(root).release()
    result = command_line(root.path, "logs", "--", name)
    assert result.returncode == 1
    assert f"IE301: There is no session {name!r}." in result.stderr
    assert "what the keeper said" not in result.stdout
    assert "precious words" not in result.stdout


@pytest.mark.parametrize("name", [".new-20261123t211623-9f3c2a", "20261123t211623-9f3c2a.bak", "20261123"])
def test_no_directory_with_another_name_is_a_sessions(root, name):
    session = make_session(root)
    session.release()
    session.path.rename(root.sessions / name)
    assert session_directories(root) == []


@pytest.mark.parametrize("text", WORDS)
def test_a_variable_that_names_it_is_no_session_to_join(tmp_path, monkeypatch, text):
    """The variable has a directory, which the worker's own parent named; whatever else it is, nobody listens there."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    environ = {"PYTEST_XDIST_WORKER": "gw0", "ISOLATED_EMR_SESSION": text}
    assert session_to_join(environ) is None
    environ["ISOLATED_EMR_SESSION"] = f"{os.getppid()}:{text}"
    joined = session_to_join(environ)
    assert joined is not None
    with pytest.raises(KeeperDied):
        KeeperClient.attach(*joined)
    assert sorted(tmp_path.rglob("*")) == before
