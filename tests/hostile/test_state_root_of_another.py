"""A state root that is another user's, or that others may write: refused by whatever uses one, before it reads or removes
anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pytest_isolated_emr.errors import StateRootUnusable
from pytest_isolated_emr.keeper.spare_order import SpareOrder
from pytest_isolated_emr.keeper.start_ahead import start_ahead
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot, offered
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import sweep
from pytest_isolated_emr.spark.jar_cache import cached
from tests.nobody import NOBODY, give_away

from .conftest import command_line, make_session

PARTS = ["", "sessions", "jars", "admission", "spares", "class-data", "container-java"]

COMMANDS = [
    ("sweep", "--delete"),
    ("sweep", "--delete", "--kept", "--json"),
    ("sweep", "--spares", "--delete"),
    ("ps",),
    ("logs",),
    ("fetch",),
    ("exec", "--", "true"),
]


def snapshot(path: Path) -> dict[str, tuple[int, int, int]]:
    found = {str(each): each.lstat() for each in (path, *path.rglob("*"))}
    return {name: (status.st_mode, status.st_uid, status.st_mtime_ns) for name, status in found.items()}


def fill(root: StateRoot) -> str:
    """Put a dead session, the place of a spare, and jars into a root; return the session's run id."""
    root.open()
    session = make_session(root)
    session.release()
    for directory, name in ((root.spares, "f" * 32), (root.jars, "a.jar"), (root.admission, "000000000001")):
        directory.mkdir(mode=0o700, exist_ok=True)
        (directory / name).write_text(session.run_id)
    return session.run_id


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("whose", ["of nobody, for root", "of root, for nobody"])
def test_no_command_uses_another_users(tmp_path, as_nobody, arguments, whose):
    root = StateRoot(tmp_path / "theirs")
    run_id = fill(root)
    owner, user = 0, NOBODY
    if whose.startswith("of nobody"):
        give_away(root.path)
        owner, user = NOBODY, 0
    before = snapshot(root.path)
    result = command_line(root.path, *arguments, before=as_nobody if user == NOBODY else ())
    assert result.returncode == 75, result.stdout + result.stderr
    assert (
        f"IE105: The directory {root.path} belongs to the user {owner}, not to you ({user})" in result.stderr
    )
    assert run_id not in result.stdout + result.stderr
    assert "what the keeper said" not in result.stdout
    assert snapshot(root.path) == before


def test_no_run_uses_another_users(tmp_path, as_nobody, project, run_pytest):
    root = StateRoot(tmp_path / "theirs")
    fill(root)
    give_away(root.path)
    before = snapshot(root.path)
    (project / "test_it.py").write_text("def test_it(isolated_emr): pass\n")
    finished = run_pytest("--isolated-emr", ISOLATED_EMR_HOME=str(root.path))
    assert finished.code == 75, finished.output
    assert f"IE105: The directory {root.path} belongs to the user {NOBODY}" in finished.output
    assert snapshot(root.path) == before


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("how", ["another's", "a link", "group may write", "all may write"])
def test_each_part_is_looked_at(tmp_path, as_nobody, how, part):
    root = StateRoot(tmp_path / "state")
    root.open()
    directory = root.path / part
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / "planted").write_text("")
    root.check()
    match how:
        case "another's":
            os.chown(directory, NOBODY, NOBODY)
            problem = f"{directory} belongs to the user {NOBODY}, not to you (0)"
        case "a link":
            directory.rename(tmp_path / "elsewhere")
            directory.symlink_to(tmp_path / "elsewhere")
            problem = f"{directory} is a link"
        case "group may write":
            directory.chmod(0o770)
            problem = f"{directory} can be written by others (mode 770) and is not empty"
        case _:
            directory.chmod(0o1777)
            problem = f"{directory} can be written by others (mode 1777) and is not empty"
    before = snapshot(tmp_path)
    uses = [root.check_spares] if part == "spares" else [root.check, root.open]
    for use in uses:
        # Also the second time: the first has not made it look like ours.
        with pytest.raises(StateRootUnusable) as caught:
            use()
        assert caught.value.what == f"The directory {problem}."
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("how", ["another's", "a link", "all may write"])
def test_the_places_of_spares_are_not_used(tmp_path, root, as_nobody, how):
    key = "f" * 32
    slot = SpareSlot(root, key)
    assert slot.take()
    slot.offer(new_run_id())
    assert offered(root, key) != ""
    # Its keeper is gone, so that a sweep would remove the place.
    os.close(slot._file)
    match how:
        case "another's":
            give_away(root.spares)
        case "a link":
            root.spares.rename(tmp_path / "elsewhere")
            root.spares.symlink_to(tmp_path / "elsewhere")
        case _:
            root.spares.chmod(0o777)
    before = snapshot(tmp_path)
    assert offered(root, key) == ""
    sweep(root, delete=True)
    for use in (SpareSlot(root, key).take, lambda: start_ahead(SpareOrder(key, 60.0, {}, {}), root)):
        with pytest.raises(StateRootUnusable):
            use()
    assert snapshot(tmp_path) == before


def test_one_with_nothing_in_it_that_others_could_write_is_taken(tmp_path):
    root = StateRoot(tmp_path / "state")
    root.path.mkdir()
    root.path.chmod(0o777)
    root.check()
    root.open()
    assert stat.S_IMODE(root.path.stat().st_mode) == 0o700


def test_one_that_this_user_cannot_look_at_is_refused(tmp_path, as_nobody):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(StateRootUnusable, match="cannot be looked at: Permission denied"):
            StateRoot(closed / "state").check()
    finally:
        os.seteuid(0)


def test_no_umask_lets_others_write(tmp_path):
    """What is made before the root is opened, and above what is made, would be refused by the next run."""

    def fill_nothing(work: Path, jars: Path) -> None: ...

    root = StateRoot(tmp_path / "deep" / "state")
    before = os.umask(0)
    try:
        cached(root.jars, "a-set", fill_nothing, print)
        root.open()
    finally:
        os.umask(before)
    for path in (root.path.parent, root.path, root.jars, root.sessions, root.admission):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
