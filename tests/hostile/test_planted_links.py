"""Links, second names of files, and pipes where the state root has files and directories: nothing is read through them, nothing
is written or removed through them, and nobody waits for a pipe."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_isolated_emr.keeper.spare_order import SpareOrder
from pytest_isolated_emr.keeper.start_ahead import start_ahead
from pytest_isolated_emr.lifecycle import durations, spare_slot
from pytest_isolated_emr.lifecycle.admission import WAITS, Admission, Claim, Ticket, tickets
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.session_directory import (
    SessionDirectory,
    is_alive,
    read_metadata,
    session_directories,
)
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import sweep
from pytest_isolated_emr.spark.jar_cache import cached, cached_sets, find, verify

from .conftest import assert_untouched, command_line, make_session, metadata_of

KEY = "0123456789abcdef" * 2
#: An order that is refused, so that all that comes of it is the line that says so.
SECRET_ORDER = SpareOrder(
    KEY, 60.0, {"cwd": "/"}, {"main": {"properties": {"spark.my.password": "x"}, "environ": {}}}
)
TICKET = Claim(1 << 20, 1)


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def second_name(path: Path, target: Path) -> None:
    os.link(target, path)


def pipe(path: Path, target: Path) -> None:
    os.mkfifo(path)


LINKS = [link, second_name]


@pytest.mark.parametrize("plant", [link, second_name, pipe])
@pytest.mark.parametrize("name", ["took.json", f".took.json.{os.getpid()}"], ids=["kept", "draft"])
def test_how_long_runs_took_is_written_to_no_other_file(root, precious, plant, name):
    plant(root.admission / name, precious / "file")
    durations.note(root.admission / "took.json", "/here", 3.0)
    assert durations.read(root.admission / "took.json") == {"/here": 3.0}
    assert_untouched(precious)


def test_how_long_runs_took_is_read_from_no_other_file(root, precious):
    (precious / "file").write_text('{"/here": 3.0}')
    (root.admission / "took.json").symlink_to(precious / "file")
    assert durations.read(root.admission / "took.json") == {}


@pytest.mark.parametrize("text", ['{"/here": Infinity}', '{"/here": NaN}', '{"/here": 1' + "0" * 400 + "}"])
def test_no_time_without_end_is_foretold(root, text):
    (root.admission / "took.json").write_text(text)
    first = Admission(root, TICKET)
    first.enter(Ticket.now(new_run_id(), "/here", TICKET, WAITS))
    assert first.try_admit()
    assert Admission(root, TICKET).forecast() == ""
    first.leave()


@pytest.mark.parametrize("plant", LINKS)
def test_a_spares_place_is_written_to_no_other_file(root, precious, plant):
    root.spares.mkdir(mode=0o700)
    plant(root.spares / KEY, precious / "file")
    slot = SpareSlot(root, KEY)
    if plant is link:
        with pytest.raises(OSError, match="symbolic link"):
            slot.take()
    else:
        assert slot.take()
        slot.offer(new_run_id())
        slot.give_up()
    assert_untouched(precious)


def test_a_sweep_empties_no_other_file(root, precious):
    root.spares.mkdir(mode=0o700)
    second_name(root.spares / KEY, precious / "file")
    link(root.spares / KEY.replace("0", "f"), precious / "file")
    sweep(root, delete=True)
    assert_untouched(precious)
    assert spare_slot.offered(root, KEY) == ""


@pytest.mark.parametrize("plant", [link, second_name, pipe])
def test_a_spares_log_is_written_to_no_other_file(root, precious, plant):
    root.spares.mkdir(mode=0o700)
    log = SpareSlot(root, KEY).log
    plant(log, precious / "file")
    # What failed an hour ago is tried again.
    os.utime(precious / "file", (0, 0))
    start_ahead(SECRET_ORDER, root)
    assert_untouched(precious)
    assert "spark.my.password" in log.read_text()


@pytest.mark.parametrize("plant", [*LINKS, pipe])
@pytest.mark.parametrize("name", ["lock", "000000000001", "000000000007"])
def test_the_queue_writes_to_no_other_file(root, precious, plant, name):
    plant(root.admission / name, precious / "file")
    place = Admission(root, TICKET)
    ticket = Ticket.now(new_run_id(), "/", TICKET, WAITS)
    if name == "lock" and plant is link:
        with pytest.raises(OSError, match="symbolic link"):
            place.enter(ticket)
    elif name == "000000000001" and plant is link:
        # Nobody's, and in the way: the next place is behind it.
        assert place.enter(ticket)
        assert [each.run_id for each in tickets(root)] == [ticket.run_id]
    else:
        assert place.enter(ticket)
    place.leave()
    assert_untouched(precious)


def test_a_pipe_that_somebody_holds_is_no_ticket(root):
    path = root.admission / "000000000001"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        assert tickets(root) == []
        place = Admission(root, TICKET)
        assert place.enter(Ticket.now(new_run_id(), "/", TICKET, WAITS))
        assert place.try_admit()
        place.leave()
    finally:
        os.close(held)


@pytest.mark.parametrize("where", ["as it will be", "as it is made"])
@pytest.mark.parametrize("to", ["directory", "file", "nowhere"])
def test_no_session_is_made_where_a_link_is(root, precious, where, to):
    run_id = new_run_id()
    path = root.sessions / (run_id if where == "as it will be" else f".new-{run_id}")
    path.symlink_to({"directory": precious, "file": precious / "file", "nowhere": precious / "new"}[to])
    with pytest.raises(FileExistsError):
        SessionDirectory.create(root, run_id)
    assert [each.name for each in root.sessions.iterdir()] == [path.name]
    assert_untouched(precious)


@pytest.mark.parametrize("plant", LINKS)
def test_what_a_session_says_of_itself_is_written_to_no_other_file(root, precious, plant):
    session = make_session(root)
    metadata = read_metadata(session.path)
    plant(session.path / ".session.json.new", precious / "file")
    session.write_metadata(metadata)
    (session.path / "session.json").unlink()
    plant(session.path / "session.json", precious / "file")
    session.write_metadata(metadata)
    assert read_metadata(session.path) == metadata
    assert_untouched(precious)
    session.release()


@pytest.fixture
def linked(root, tmp_path):
    """A live session elsewhere, to which a link leads from the sessions' root."""
    other = StateRoot(tmp_path / "other")
    other.open()
    session = make_session(other)
    (root.sessions / session.run_id).symlink_to(session.path)
    assert is_alive(root.sessions / session.run_id)
    yield session
    session.release()


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [
        (("ps", "--json"), 0, "[]\n"),
        (("logs",), 1, ""),
        (("sweep", "--spares", "--delete", "--json"), 0, "[]\n"),
    ],
    ids=str,
)
def test_no_command_follows_a_link_to_a_session(root, linked, arguments, code, output):
    assert session_directories(root) == []
    if "--spares" in arguments:
        linked.write_metadata(replace(metadata_of(linked.run_id), state="spare"))
    result = command_line(root.path, *arguments)
    assert (result.returncode, result.stdout) == (code, output), result.stderr


def test_logs_are_read_through_no_link_and_nobody_waits_for_a_pipe(root, precious):
    session = make_session(root)
    logs = session.path / "logs"
    (logs / "link.log").symlink_to(precious / "file")
    os.mkfifo(logs / "pipe.log")
    (session.path / "kept").mkdir()
    (session.path / "kept" / "logs-main").symlink_to(precious / "deep")
    session.release()
    result = command_line(root.path, "logs", session.run_id)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"==> {logs / 'keeper.log'} <==\nwhat the keeper said\n\n"


def test_a_giant_log_is_printed_without_being_in_memory(root):
    session = make_session(root)
    session.release()
    os.truncate(session.path / "logs" / "keeper.log", 1 << 30)
    code = (
        "import resource, sys; from pytest_isolated_emr.cli import main;"
        "resource.setrlimit(resource.RLIMIT_AS, (640 << 20, 640 << 20)); main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "logs", session.run_id],
        env=os.environ | {"ISOLATED_EMR_HOME": str(root.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    size = 0
    while chunk := process.stdout.read(1 << 20):
        size += len(chunk)
    process.stdout.close()
    with process.stderr:
        assert (process.wait(), process.stderr.read()) == (0, b"")
    assert size > 1 << 30


def test_names_are_no_marks_of_the_table(root):
    """rich takes what is in brackets for its own, and fails at what it takes for an end."""
    (root.sessions / "[red]odd").mkdir()
    result = command_line(root.path, "sweep")
    assert result.returncode == 0, result.stderr
    assert "[red]odd" in result.stdout
    session = make_session(root)
    command = ["pytest", "test_it.py::test[/x]", "test_it.py::test[red]"]
    # That it does not say when it began is no failure either.
    session.write_metadata(replace(metadata_of(session.run_id), command=command, started="?"))
    result = command_line(root.path, "ps")
    assert result.returncode == 0, result.stderr
    joined = "".join(result.stdout.split())
    assert "test_it.py::test[/x]" in joined
    assert "test_it.py::test[red]" in joined
    session.release()


@pytest.fixture
def jar_set(root):
    def fill(work: Path, jars: Path) -> None:
        (jars / "a.jar").write_bytes(b"a")

    return cached(root.jars, "a-set", fill, print)


def _as_link(path: Path, target: Path) -> None:
    path.rename(target)
    path.symlink_to(target)


def _names(name: str):
    def damage(directory: Path, elsewhere: Path) -> None:
        _as_link(directory / "a.jar", elsewhere / "a.jar")
        (directory / "a.jar").unlink()
        manifest = directory / "manifest.json"
        manifest.write_text(manifest.read_text().replace("a.jar", name.format(elsewhere=elsewhere)))

    return damage


DAMAGE = {
    "the set is a link": lambda directory, elsewhere: _as_link(directory, elsewhere / "set"),
    "a jar is a link": lambda directory, elsewhere: _as_link(directory / "a.jar", elsewhere / "a.jar"),
    "a jar has parts of a path": _names("../../../elsewhere/a.jar"),
    "a jar has a whole path": _names("{elsewhere}/a.jar"),
    "the manifest is a link": lambda directory, elsewhere: _as_link(
        directory / "manifest.json", elsewhere / "m"
    ),
    "another jar is on the class path": lambda directory, elsewhere: (directory / "b.jar").write_bytes(b"b"),
    "the manifest is a giant": lambda directory, elsewhere: os.truncate(directory / "manifest.json", 1 << 30),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_no_jar_is_taken_from_elsewhere(root, tmp_path, jar_set, damage):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert find(root.jars, "a-set") == jar_set
    damage(jar_set.directory, elsewhere)
    assert find(root.jars, "a-set") is None
    left = {path.name: path.read_bytes() for path in elsewhere.glob("*.jar")}

    def fill(work: Path, jars: Path) -> None:
        (jars / "a.jar").write_bytes(b"new")

    made = cached(root.jars, "a-set", fill, print)
    assert [path.read_bytes() for path in made.jars] == [b"new"]
    assert {path.name: path.read_bytes() for path in elsewhere.glob("*.jar")} == left


@pytest.mark.parametrize("name", ["a.jar", "manifest.json"])
def test_nobody_waits_for_a_pipe_among_the_jars(root, jar_set, name):
    path = jar_set.directory / name
    if name == "a.jar":
        manifest = jar_set.directory / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"size": 1', '"size": 0'))
    path.unlink()
    os.mkfifo(path)
    (found,) = cached_sets(root.jars)
    assert verify(found, full=True)


#: Tests that plant links and pipes wherever a test may.
SUITE = """
import os, socket
from pathlib import Path

PRECIOUS = Path(os.environ["PRECIOUS"])

def test_in_the_place_of_scratch(scratch):
    scratch.path.rmdir()
    scratch.path.symlink_to(PRECIOUS)
    assert False

def test_in_scratch(scratch):
    (scratch.path / "link").symlink_to(PRECIOUS)
    (scratch.path / "file").write_text("kept")
    os.mkfifo(scratch.path / "pipe")
    os.chdir(scratch.path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    assert False

def test_among_the_logs(isolated_emr, scratch):
    logs = scratch.path.parents[2] / "logs"
    (logs / "link").symlink_to(PRECIOUS)
    (logs / "link.log").symlink_to(PRECIOUS / "file")
    os.mkfifo(logs / "pipe.log")

def test_in_the_session(scratch):
    (scratch.path.parents[2] / "link").symlink_to(PRECIOUS)

def test_in_pytests_own(tmp_path, tmp_path_factory):
    (tmp_path / "link").symlink_to(PRECIOUS)
    (tmp_path_factory.getbasetemp() / "link").symlink_to(PRECIOUS)
    os.link(PRECIOUS / "file", tmp_path / "name")
"""


def test_a_run_follows_no_link_that_a_test_plants(precious, project, home, run_pytest):
    (project / "test_it.py").write_text(SUITE)
    finished = run_pytest("--isolated-emr", PRECIOUS=str(precious))
    assert "2 failed, 3 passed in" in finished.output, finished.output
    assert "could not be removed" not in finished.output
    assert "not all kept" not in finished.output
    assert_untouched(precious)
    (session,) = (home / "sessions").iterdir()
    # Links are not followed by this.
    kept = [path for path in session.rglob("*") if path.is_file() and not path.is_symlink()]
    assert kept
    assert [path for path in kept if b"precious words" in path.read_bytes()] == []
    (local,) = session.glob("kept/main/*in-scratch*/local")
    assert (local / "file").read_text() == "kept"
    # It is the scratch itself, which was moved: the pipe and the socket are there, and nobody opened them.
    assert sorted(path.name for path in local.iterdir()) == ["file", "link", "pipe", "socket"]
    assert list(session.glob("kept/logs-main/keeper.log"))
    # And all of it goes by a sweep.
    result = command_line(home, "sweep", "--delete", "--kept")
    assert result.returncode == 0, result.stdout
    assert list((home / "sessions").iterdir()) == []
    assert_untouched(precious)
