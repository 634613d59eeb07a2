"""Whose turn it is: sessions claim memory and cores before they start, and wait in the order of arrival where too many run.

Each has a ticket, a file in the state root that its keeper holds by the kernel's lock, so that whatever ends the keeper gives
the ticket up. Tickets are read and written by who holds the lock of all of them, for less than a millisecond.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pytest_isolated_emr.lifecycle import durations
from pytest_isolated_emr.lifecycle.kernel_lock import try_lock
from pytest_isolated_emr.lifecycle.memory import available_memory, usable_memory
from pytest_isolated_emr.lifecycle.processors import usable_processors
from pytest_isolated_emr.lifecycle.run_id import is_run_id
from pytest_isolated_emr.lifecycle.state_root import StateRoot

#: What a ticket's holder does.
WAITS, RUNS, IS_SPARE = "waits", "runs", "spare"

_NUMBER = re.compile(r"\d{12}")
_LOCK = "lock"
# The rest is for what else runs on the machine.
_SHARE_OF_MEMORY = 0.9
# A test run waits for files, Python and the JVM by turns: two of them keep a core busy.
_SESSIONS_PER_CORE = 2
# Who holds the lock for longer is stopped.
_LOCK_PATIENCE_SECONDS = 1.0
_MOST_BYTES = 16384


@dataclass(frozen=True)
class Claim:
    """What a session takes of the machine, or what the machine has.

    :param memory: bytes.
    :param cores: how many of its processes compute at once.
    """

    memory: int
    cores: int

    def __add__(self, other: Claim) -> Claim:
        return Claim(self.memory + other.memory, self.cores + other.cores)

    def __str__(self) -> str:
        return f"{self.memory / 2**30:.1f} GB, {self.cores} {'core' if self.cores == 1 else 'cores'}"


@dataclass(frozen=True)
class Ticket:
    """What others may know of a place in the queue.

    :param run_id: whose it is.
    :param cwd: the directory that pytest was started in.
    :param since: when its holder began to do that, in ISO 8601 with the offset from UTC.
    :param claim: what it is for.
    :param state: :data:`WAITS`, :data:`RUNS` or :data:`IS_SPARE`.
    """

    run_id: str
    cwd: str
    since: str
    claim: Claim
    state: str

    @classmethod
    def now(cls, run_id: str, cwd: str, claim: Claim, state: str) -> Ticket:
        """Return a ticket that is taken now.

        :param run_id: whose it is.
        :param cwd: the directory that pytest was started in.
        :param claim: what it is for.
        :param state: what its holder does.
        """
        return cls(run_id, cwd, _now(), claim, state)

    def age(self) -> float:
        """Return for how long its holder has done what it does, in seconds."""
        return max(0.0, (datetime.now(timezone.utc) - datetime.fromisoformat(self.since)).total_seconds())

    def __str__(self) -> str:
        since = datetime.fromisoformat(self.since).astimezone()
        return f"{self.run_id} in {self.cwd} since {since:%H:%M:%S} ({self.claim})"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def machine() -> Claim:
    """Return what all sessions may take together, by this process's control group and its processors."""
    return Claim(int(usable_memory() * _SHARE_OF_MEMORY), usable_processors() * _SESSIONS_PER_CORE)


class Admission:
    """The queue of one state root, as one keeper sees it.

    :param root: the state root, opened already.
    :param capacity: what all sessions may take together.
    """

    def __init__(self, root: StateRoot, capacity: Claim) -> None:
        self._directory = root.admission
        self._durations = root.admission / "took.json"
        self._capacity = capacity
        self._number = 0
        self._file: int | None = None
        self._ticket: Ticket | None = None
        self._told_to_end: set[str] = set()
        #: The spares whose memory was missing when this keeper asked last.
        self.spares_in_the_way: list[str] = []

    def enter(self, ticket: Ticket) -> bool:
        """Take the last place, and tell whether that could be: who holds the lock may be stopped. A place that this keeper has
        goes.

        :param ticket: waits, or is a spare, which nobody waits for and which does not wait.
        :raises OSError: the directory cannot be written.
        """
        try:
            self._enter(ticket)
        except TimeoutError:
            return False
        return True

    def _enter(self, ticket: Ticket) -> None:
        with self._locked():
            self._drop()
            # It removes those of the dead.
            list(self._others())
            self._number = max((int(path.name) for path in self._paths()), default=0) + 1
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            # Who only looks holds it for a moment at most.
            fcntl.flock(file, fcntl.LOCK_EX)
            self._file = file
            self._write(ticket)

    def try_admit(self) -> bool:
        """Tell whether this keeper may start, which others see from now on.

        :raises OSError: the directory cannot be written.
        """
        assert self._ticket is not None
        try:
            with self._locked():
                if not self._has_room(self._others()):
                    return False
                self._write(replace(self._ticket, state=RUNS, since=_now()))
        except TimeoutError:
            return False
        return True

    def has_room_for_spare(self) -> bool:
        """Tell whether there is room for this keeper, which is a spare, and nobody waits for some.

        :raises OSError: the directory cannot be written.
        """
        assert self._ticket is not None
        memory = self._ticket.claim.memory
        try:
            with self._locked():
                for _, ticket in self._others():
                    if ticket.state == WAITS:
                        return False
                    memory += ticket.claim.memory
        except TimeoutError:
            return False
        return memory <= self._capacity.memory

    def disregard(self, run_id: str) -> None:
        """Count a spare no more: it was told to end, and one that is stopped must not be in anybody's way.

        :param run_id: the spare's.
        """
        self._told_to_end.add(run_id)

    def words(self) -> str:
        """Return what this keeper waits for, to be shown meanwhile; empty if nobody that runs can be seen."""
        others = list(self._others_seen())
        running = [ticket for _, ticket in others if ticket.state == RUNS]
        before = sum(ticket.state == WAITS and number < self._number for number, ticket in others)
        taken = sum((ticket.claim for ticket in running), Claim(0, 0))
        place = "next" if not before else f"after {before} more"
        if not running:
            return ""
        return (
            f"waiting for room, {place}: {len(running)} {'run has' if len(running) == 1 else 'runs have'} {taken} of "
            f"{self._capacity}: {'; '.join(map(str, running))}"
        )

    def leave(self) -> None:
        """Give the place up; the end of this process does so as well."""
        if self._file is None:
            return
        # The end of this process does it as well.
        with suppress(OSError), self._locked():
            self._drop()
            if self._ticket is not None and self._ticket.state == RUNS:
                durations.note(self._durations, self._ticket.cwd, self._ticket.age())

    def forecast(self) -> str:
        """Return how long that may take, to be shown after it; empty if nobody knows."""
        took = durations.read(self._durations)
        running = [ticket for _, ticket in self._others_seen() if ticket.state == RUNS]
        left = [took[ticket.cwd] - ticket.age() for ticket in running if ticket.cwd in took]
        return f"; one may end in about {max(1, round(min(left)))} s, by its last run" if left else ""

    def _has_room(self, others: Iterator[tuple[int, Ticket]]) -> bool:
        assert self._ticket is not None
        wanted, runs = self._ticket.claim, 0
        spares: dict[str, int] = {}
        for number, ticket in others:
            if ticket.state == WAITS and number < self._number:
                self.spares_in_the_way = []
                return False
            if ticket.state == RUNS:
                runs += 1
                wanted += ticket.claim
            elif ticket.state == IS_SPARE and ticket.run_id not in self._told_to_end:
                spares[ticket.run_id] = ticket.claim.memory
        is_short = (
            wanted.memory + sum(spares.values()) > self._capacity.memory
            or available_memory() < self._ticket.claim.memory
        )
        self.spares_in_the_way = list(spares) if is_short else []
        if not runs:
            # Alone, it has to do with what there is.
            return not self.spares_in_the_way
        return not is_short and wanted.cores <= self._capacity.cores

    def _others(self) -> Iterator[tuple[int, Ticket]]:
        """Yield the tickets of others, and remove those of the dead. The lock is held."""
        for path in self._paths():
            file = _open(path)
            if file is None:
                continue
            try:
                if try_lock(file, fcntl.LOCK_EX):
                    with suppress(FileNotFoundError):
                        path.unlink()
                elif (ticket := _read(file)) is not None:
                    yield int(path.name), ticket
            finally:
                os.close(file)

    def _others_seen(self) -> Iterator[tuple[int, Ticket]]:
        for path in self._paths():
            ticket = _live_ticket(path)
            if ticket is not None:
                yield int(path.name), ticket

    def _paths(self) -> list[Path]:
        own = self._path.name if self._file is not None else ""
        return [path for path in _tickets(self._directory) if path.name != own]

    @property
    def _path(self) -> Path:
        return self._directory / f"{self._number:012d}"

    def _write(self, ticket: Ticket) -> None:
        assert self._file is not None
        text = json.dumps(asdict(ticket)).encode()
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))
        self._ticket = ticket

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # Whoever comes next removes one that nobody holds, should this be no longer allowed.
            with suppress(OSError):
                self._path.unlink()
            os.close(file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        file = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
            while not try_lock(file, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self._directory / _LOCK} is held")
                time.sleep(0.001)
            yield
        finally:
            os.close(file)


def tickets(root: StateRoot) -> list[Ticket]:
    """Return the tickets of all live keepers, in the order of their arrival.

    :param root: the state root.
    """
    found = (_live_ticket(path) for path in _tickets(root.admission))
    return [ticket for ticket in found if ticket is not None]


def _tickets(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if _NUMBER.fullmatch(path.name))


def _live_ticket(path: Path) -> Ticket | None:
    file = _open(path)
    if file is None:
        return None
    try:
        # Shared, so that those who look do not take each other for its holder.
        return None if try_lock(file, fcntl.LOCK_SH) else _read(file)
    finally:
        os.close(file)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        # It has just gone, or is nothing of ours.
        return None


def _read(file: int) -> Ticket | None:
    """Return what a ticket says; None if nothing that can be understood, as it is just being written."""
    try:
        return _ticket(json.loads(os.pread(file, _MOST_BYTES, 0)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _ticket(fields: dict[str, Any]) -> Ticket:
    claim = Claim(int(fields["claim"]["memory"]), int(fields["claim"]["cores"]))
    run_id, cwd, since, state = (str(fields[name]) for name in ("run_id", "cwd", "since", "state"))
    if not is_run_id(run_id) or min(claim.memory, claim.cores) < 0:
        raise ValueError(run_id)
    if datetime.fromisoformat(since).tzinfo is None:
        raise ValueError(since)
    return Ticket(run_id, cwd, since, claim, state)
