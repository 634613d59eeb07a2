from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_isolated_emr.lifecycle import journal as journal_module
from pytest_isolated_emr.lifecycle.host import this_host
from pytest_isolated_emr.lifecycle.journal import Journal, JournalContents, Resource, read_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_it_says_what_became_of_each_thing(path: Path) -> None:
    before = datetime.now(timezone.utc)
    with Journal.open(path) as journal:
        scratch = journal.intend("directory", "scratch/1")
        process = journal.intend("process", "endpoint", port=80)
        kept = journal.intend("directory", "kept/test_a", why="?")
        gone = journal.intend("cluster", "run 1")
        journal.created(process, pid=12)
        journal.created(gone)
        journal.kept(kept, why="failed")
        journal.removed(gone, at_once=True)
        journal.note("hello", number=1)
        journal.end()
    contents = read_journal(path)
    assert contents.resources == [
        Resource(scratch, "directory", "scratch/1", "intended", {}),
        Resource(process, "process", "endpoint", "created", {"port": 80, "pid": 12}),
        Resource(kept, "directory", "kept/test_a", "kept", {"why": "failed"}),
        Resource(gone, "cluster", "run 1", "removed", {"at_once": True}),
    ]
    assert contents.damaged == 0
    assert contents.host == this_host()
    assert contents.ended is not None
    assert before <= contents.ended == contents.last <= datetime.now(timezone.utc)


def test_its_lines_are_json_and_for_the_user_alone(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.intend("process", "endpoint", words=("a", "b"), by_number={2: "b", 10: "a"})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["n"] for line in lines] == [1, 2]
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_journal(path).damaged == 0


def test_one_that_is_missing_is_empty(path: Path) -> None:
    assert read_journal(path) == JournalContents()


@pytest.mark.parametrize("name", ["", ".", "/tmp", "..", "a/../b", "../a", "a\0b"])
def test_a_directory_outside_of_the_session_is_refused(path: Path, name: str) -> None:
    with Journal.open(path) as journal, pytest.raises(ValueError, match="not a path below"):
        journal.intend("directory", name)


def test_the_intent_is_on_the_disk_before_the_caller_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(path.read_bytes()))
    with Journal.open(path) as journal:
        journal.intend("cluster", "the name")
        assert b"the name" in synced[-1]


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    path.symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        Journal.open(path)
    contents = read_journal(path)
    assert contents.resources == []
    assert "symbolic link" in contents.refused
    assert outside.read_text() == "mine"


def test_a_directory_of_its_name_is_none(path: Path) -> None:
    path.mkdir()
    assert "Not a file" in read_journal(path).refused


def test_a_pipe_of_its_name_holds_nobody_up(path: Path) -> None:
    os.mkfifo(path)
    assert "Not a file" in read_journal(path).refused


def test_a_full_disk_spoils_one_line_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(journal_module.os, "write", full)
        return real(descriptor, data[: len(data) // 2])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with Journal.open(path) as journal:
        monkeypatch.setattr(journal_module.os, "write", half)
        with pytest.raises(OSError, match="No space"):
            journal.intend("process", "lost")
        monkeypatch.setattr(journal_module.os, "write", real)
        journal.intend("process", "found")
    contents = read_journal(path)
    assert [resource.name for resource in contents.resources] == ["found"]
    assert contents.damaged == 1


def test_on_a_full_disk_what_is_gone_stays_gone(path: Path) -> None:
    """What fills the disk has to go, too; but nothing is made without a line."""
    with Journal.open(path) as journal:
        entry = journal.intend("process", "one")
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, journal._descriptor)
        os.close(full)
        journal.removed(entry)
        with pytest.raises(OSError, match="No space"):
            journal.intend("process", "another")
    assert [resource.state for resource in read_journal(path).resources] == ["intended"]


def test_a_line_that_was_changed_is_not_believed(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.intend("process", "first")
        journal.intend("process", "second")
    path.write_text(path.read_text().replace("first", "fist!"))
    contents = read_journal(path)
    assert [resource.name for resource in contents.resources] == ["second"]
    assert contents.damaged == 1


def test_threads_may_share_it(path: Path) -> None:
    with Journal.open(path) as journal:

        def work(number: int) -> None:
            for _ in range(20):
                journal.created(journal.intend("process", f"p{number}"))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    contents = read_journal(path)
    assert contents.damaged == 0
    assert len(contents.resources) == 100
    assert {resource.state for resource in contents.resources} == {"created"}


def test_a_process_that_is_killed_leaves_what_it_said(path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from pytest_isolated_emr.lifecycle.journal import Journal
Journal.open(Path(sys.argv[1])).intend("cluster", "the name")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
    assert [resource.name for resource in read_journal(path).resources] == ["the name"]


_FACTS = st.dictionaries(
    st.sampled_from(["a", "b", "ü", "\n"]),
    st.none() | st.integers() | st.text() | st.floats(allow_nan=False),
)
_KINDS = st.sampled_from(["directory", "process", "container", "kept"])
_OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["intend", "created", "removed", "kept", "note", "end"]), _KINDS, _FACTS),
    max_size=25,
)


# Taken modulo the file's length, which hypothesis cannot know: it changes with the time of day in it.
_PLACES = st.integers(0, 10**6)


def _write(path: Path, operations: list[tuple[str, str, dict[str, object]]]) -> list[tuple[int, str, int]]:
    """Do the operations and say of each how long the file was after it, what it was, and of which entry."""
    done = []
    entries: list[int] = []
    with Journal.open(path) as journal:
        for number, (operation, kind, facts) in enumerate(operations):
            entry = entries[number % len(entries)] if entries else 0
            if operation == "intend":
                entry = journal.intend(kind, f"name{number}", **facts)
                entries.append(entry)
            elif operation == "note":
                journal.note("text", **facts)
            elif operation == "end":
                journal.end()
            elif entries:
                getattr(journal, operation)(entry, **facts)
            else:
                continue
            done.append((path.stat().st_size, operation, entry))
    return done


@settings(deadline=None)  # each example syncs files
@given(_OPERATIONS, _PLACES)
def test_a_crash_at_any_byte_loses_nothing_that_was_intended(
    operations: list[tuple[str, str, dict[str, object]]], place: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "journal")
        done = _write(path, operations)
        whole = read_journal(path)
        cut = place % (path.stat().st_size + 1)
        os.truncate(path, cut)
        survived = [(operation, entry) for end, operation, entry in done if end <= cut]

        contents = read_journal(path)
        assert contents.damaged <= 1
        known = {resource.entry: resource for resource in contents.resources}
        for operation, entry in survived:
            if operation in ("intend", "created", "removed", "kept"):
                assert known[entry].name == next(r.name for r in whole.resources if r.entry == entry)

        # Life goes on after the torn line, and nothing that was known is lost by that.
        with Journal.open(path) as journal:
            new = journal.intend("process", "afterwards")
            journal.created(new, pid=1)
        after = read_journal(path)
        assert {resource.entry: resource for resource in after.resources if resource.entry != new} == known
        assert after.resources[-1] == Resource(new, "process", "afterwards", "created", {"pid": 1})
        assert new not in known


@settings(deadline=None)  # each example syncs files
@given(_OPERATIONS, _PLACES, st.integers(1, 255))
def test_damage_anywhere_costs_only_the_lines_it_hits(
    operations: list[tuple[str, str, dict[str, object]]], place: int, flipped: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "journal")
        _write(path, operations)
        text = bytearray(path.read_bytes())
        lines = text.count(b"\n")
        text[place % len(text)] ^= flipped
        path.write_bytes(text)
        contents = read_journal(path)
        # A damaged line break takes the lines on both its sides.
        assert contents.damaged <= 2
        assert contents.next_number >= lines - 1


@given(st.binary())
def test_no_content_is_an_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "journal")
        path.write_bytes(content)
        assert read_journal(path).resources == []


@given(
    st.dictionaries(
        st.sampled_from(["n", "op", "at", "entry", "kind", "name", "facts", "host"]),
        st.sampled_from(["intend", "begin", 1, None, [], {}, "2026-11-23T21:16:23+00:00", 10**30]),
    )
)
def test_a_line_of_an_unknown_version_is_no_error(fields: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "journal")
        path.write_bytes(journal_module._encode(fields))
        read_journal(path)
