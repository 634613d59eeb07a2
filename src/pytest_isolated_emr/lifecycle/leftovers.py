"""What dead sessions left on this machine: looked at, never touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

from pytest_isolated_emr.lifecycle.host import this_host
from pytest_isolated_emr.lifecycle.journal import JOURNAL_NAME, JournalContents, Resource, read_journal
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity, processes_of, without_trees
from pytest_isolated_emr.lifecycle.removal import size_on_disk
from pytest_isolated_emr.lifecycle.run_id import is_run_id
from pytest_isolated_emr.lifecycle.session_directory import (
    KEPT_NAME,
    LOCK_NAME,
    METADATA_NAME,
    NEW_PREFIX,
    SessionMetadata,
    is_alive,
    read_metadata,
    session_directories,
)
from pytest_isolated_emr.lifecycle.state_root import StateRoot

#: How long what was kept of failed tests stays after the session's end.
KEPT_FOR = timedelta(days=3)

#: How old a directory that is not locked yet must be before its maker counts as dead.
NEW_FOR = timedelta(hours=1)

#: Kinds of resources that need no remover: they go with the session's directory, or by their identity.
BUILT_IN_KINDS = frozenset({"directory", "kept", "process"})

Standing = Literal["dead", "kept", "odd", "link", "foreign-host", "foreign-user", "damaged", "unsure"]


@dataclass(frozen=True)
class Leftover:
    """Something under the sessions' root that no live session holds.

    :param name: its name there.
    :param standing: only ``dead`` is removed; all others are reported, ``kept`` until its time has come.
    :param reason: why it is what it is, in words.
    :param processes: those that still run.
    :param resources: what lives outside of the directory and is not known to be gone, oldest first.
    :param size_bytes: what the directory takes on the disk.
    :param kept_until: until when ``kept/`` in it stays.
    """

    name: str
    standing: Standing
    reason: str
    processes: list[ProcessIdentity] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    size_bytes: int = 0
    kept_until: datetime | None = None

    @property
    def run_id(self) -> str:
        """The session that it is of."""
        return self.name.removeprefix(NEW_PREFIX)


def plan(root: StateRoot, *, kept: bool = False, now: datetime | None = None) -> list[Leftover]:
    """List what no live session holds, and change nothing.

    :param root: the state root.
    :param kept: whether what was kept for a look counts as left over too.
    :param now: the time by which retention is judged.
    """
    try:
        paths = sorted(root.sessions.iterdir())
    except FileNotFoundError:
        return []
    spared = live_processes(root)
    found = (look(path, spared=spared, kept=kept, now=now) for path in paths)
    return [leftover for leftover in found if leftover is not None]


def look(
    path: Path,
    *,
    spared: Iterable[ProcessIdentity] = (),
    kept: bool = False,
    locked: bool = False,
    now: datetime | None = None,
) -> Leftover | None:
    """Judge one entry of the sessions' root; None if it is a live session's, or gone.

    :param path: the entry.
    :param spared: processes of live sessions, which are no leftovers whatever started them.
    :param kept: whether what was kept for a look counts as left over too.
    :param locked: whether the caller holds the lock, so that it need not be asked for.
    :param now: the time by which retention is judged.
    """
    now = now or datetime.now(timezone.utc)
    try:
        refused = _refuse_by_kind(path, path.lstat())
        if refused is not None:
            return refused
        if not locked and (path / LOCK_NAME).exists() and is_alive(path):
            return None
        if (
            path.name.startswith(NEW_PREFIX)
            and now.timestamp() - path.lstat().st_mtime < NEW_FOR.total_seconds()
        ):
            return None
        return _judge_dead(path, spared, kept, now)
    except FileNotFoundError:
        # The session's keeper, or another sweep, has just removed it.
        return None
    except OSError as error:
        return Leftover(path.name, "damaged", f"it cannot be read: {error}")


def live_processes(root: StateRoot, *, other_than: str = "") -> list[ProcessIdentity]:
    """Return the processes that live sessions own: their keepers and what these started.

    :param root: the state root.
    :param other_than: a dead session whose lock the caller holds, which makes it look alive.
    """
    found = []
    for path in session_directories(root):
        try:
            if path.name == other_than or not is_alive(path):
                continue
        except OSError:
            continue
        metadata = read_metadata(path)
        found += [metadata.keeper] if metadata else []
        found += _recorded_processes(read_journal(path / JOURNAL_NAME))
    return found


def _refuse_by_kind(path: Path, status: os.stat_result) -> Leftover | None:
    if stat.S_ISLNK(status.st_mode):
        return Leftover(path.name, "link", "it is a link, which no session makes")
    if not stat.S_ISDIR(status.st_mode) or not is_run_id(path.name.removeprefix(NEW_PREFIX)):
        return Leftover(path.name, "odd", "it is no session's directory")
    if status.st_uid != os.geteuid():
        return Leftover(path.name, "foreign-user", f"it belongs to the user {status.st_uid}")
    return None


def _judge_dead(path: Path, spared: Iterable[ProcessIdentity], kept: bool, now: datetime) -> Leftover | None:
    names = {entry.name for entry in path.iterdir()}
    if names <= {LOCK_NAME}:
        # The journal is there before a session is seen, and the lock goes last: nobody misses this.
        return Leftover(path.name, "dead", "it is empty", size_bytes=size_on_disk(path))
    if LOCK_NAME not in names:
        return Leftover(path.name, "damaged", "it has no lock, so nothing tells whether it is alive")
    metadata, journal = read_metadata(path), read_journal(path / JOURNAL_NAME)
    doubt = _doubt(path, metadata, journal)
    if doubt is not None:
        return doubt
    run_id = path.name.removeprefix(NEW_PREFIX)
    running = {identity for identity in _recorded_processes(journal) if identity.is_alive()}
    processes = without_trees(running | set(processes_of(run_id)), spared)
    kept_until = _kept_until(journal)
    if kept or (kept_until is not None and kept_until <= now):
        kept_until = None
    resources = [
        resource
        for resource in journal.resources
        if resource.kind not in BUILT_IN_KINDS
        and resource.state != "removed"
        and not (resource.state == "kept" and kept_until)
    ]
    only_kept = (
        names <= {LOCK_NAME, METADATA_NAME, JOURNAL_NAME, KEPT_NAME} and not processes and not resources
    )
    standing: Standing = "kept" if kept_until and only_kept else "dead"
    reason = "its keeper is gone" if standing == "dead" else "it is kept for a look at what failed"
    if journal.damaged:
        reason += f"; {journal.damaged} lines of its journal cannot be read"
    return Leftover(
        path.name,
        standing,
        reason,
        processes=sorted(processes, key=lambda identity: identity.pid),
        resources=resources,
        size_bytes=size_on_disk(path),
        kept_until=kept_until,
    )


def _doubt(path: Path, metadata: SessionMetadata | None, journal: JournalContents) -> Leftover | None:
    if journal.refused:
        return Leftover(path.name, "damaged", journal.refused)
    hosts = {host for host in (metadata.host if metadata else None, journal.host) if host is not None}
    if not hosts:
        return Leftover(
            path.name, "damaged", "neither its metadata nor its journal says which machine it is of"
        )
    if hosts != {this_host()}:
        others = ", ".join(sorted(host.name for host in hosts))
        return Leftover(path.name, "foreign-host", f"it is of another machine ({others})")
    if metadata is not None and metadata.run_id != path.name:
        return Leftover(path.name, "damaged", f"its metadata is that of {metadata.run_id}")
    if metadata is not None and metadata.keeper.is_alive():
        return Leftover(path.name, "unsure", "nobody holds its lock, but its keeper still runs")
    return None


def _recorded_processes(journal: JournalContents) -> list[ProcessIdentity]:
    found = []
    for resource in journal.resources:
        if resource.kind == "process" and resource.state != "removed":
            try:
                found.append(ProcessIdentity.from_dict(resource.facts))
            except ValueError:
                # It was only intended, so there is no identity yet; its mark finds it if it was started.
                continue
    return found


def _kept_until(journal: JournalContents) -> datetime | None:
    ended = journal.ended or journal.last
    if ended is None or all(resource.state != "kept" for resource in journal.resources):
        return None
    return ended + KEPT_FOR
