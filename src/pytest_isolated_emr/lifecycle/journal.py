"""A session's append-only record of what it is about to create, created and removed.

A line is written, and synced, before the act. So whatever the crash, all that exists has a line here, and the
sweep finds it. Each line is a JSON object with its number and a checksum; a damaged line costs only itself.
"""

from __future__ import annotations

import json
import os
import threading
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, datetime, timezone
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal

from pytest_isolated_emr.lifecycle.host import Host, this_host
from pytest_isolated_emr.lifecycle.private_files import read_private

#: The journal's name in its session directory.
JOURNAL_NAME = "journal"

# As many lines as two hundred thousand things need; more is no journal of ours.
_MOST_BYTES = 1 << 26

State = Literal["intended", "created", "removed", "kept"]
_STATES: dict[str, State] = {
    "intend": "intended",
    "created": "created",
    "removed": "removed",
    "kept": "kept",
}


@dataclass(frozen=True)
class Resource:
    """Something that a session owned, or was about to.

    :param entry: the number of its first line.
    :param kind: what it is, e.g. ``directory``, ``process``, ``container``.
    :param name: what finds it again: a path relative to the session directory, a role, a label.
    :param state: how far it got.
    :param facts: all that was recorded with it; later lines win.
    """

    entry: int
    kind: str
    name: str
    state: State
    facts: dict[str, Any]


@dataclass(frozen=True)
class JournalContents:
    """What a journal says.

    :param resources: all things that it names, in the order in which they were intended.
    :param damaged: how many lines could not be read.
    :param host: the machine that the session ran on, if the line that says so can be read.
    :param ended: when the session ended in order; None if it was killed or still runs.
    :param last: when the last line was written.
    :param next_number: the number that the next line gets.
    :param refused: why nothing of it is believed, in words; empty if it is read.
    """

    resources: list[Resource] = field(default_factory=list)
    damaged: int = 0
    host: Host | None = None
    ended: datetime | None = None
    last: datetime | None = None
    next_number: int = 1
    refused: str = ""


class Journal:
    """A journal open for writing, by one process; its threads may share it. Get one by :meth:`open`."""

    def __init__(self, descriptor: int, contents: JournalContents, *, torn: bool) -> None:
        self._descriptor = descriptor
        self._next = contents.next_number
        self._named = {resource.entry: (resource.kind, resource.name) for resource in contents.resources}
        self._torn = torn
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open a journal to append to it, and start it with the name of this machine if it is new.

        :param path: the file.
        """
        # The session directory is ours alone, but a job may put a link in it that leads out.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
        text = _read_all(descriptor)
        journal = cls(descriptor, _parse(text), torn=bool(text) and not text.endswith(b"\n"))
        if not text:
            journal._write({"op": "begin", "host": this_host().to_dict()}, sync=True)
            _sync_directory(path.parent)
        return journal

    def intend(self, kind: str, name: str, **facts: Any) -> int:
        """Record that something is about to be created, and return only when the disk has it.

        :param kind: what it is.
        :param name: what finds it again if nothing more gets recorded.
        :param facts: more about it, as JSON has it.
        :return: the number to give to the other methods.
        :raises ValueError: if it is a directory and the name is not a path below the session directory.
        """
        if kind == "directory":
            check_relative(name)
        return self._write({"op": "intend", "kind": kind, "name": name, "facts": facts}, sync=True)

    def created(self, entry: int, **facts: Any) -> None:
        """Record that something exists now, with what became known of it.

        :param entry: the number that :meth:`intend` gave.
        :param facts: e.g. an id, or the fields of a process identity.
        """
        self._write({"op": "created", **self._of(entry), "facts": facts}, sync=True)

    def removed(self, entry: int, **facts: Any) -> None:
        """Record that something is gone.

        :param entry: the number that :meth:`intend` gave.
        :param facts: more about it.
        """
        # Should the line get lost, the sweep looks once more for what is gone. So it is not synced, and a full disk is no
        # reason to leave what fills it.
        try:
            self._write({"op": "removed", **self._of(entry), "facts": facts}, sync=False)
        except OSError:
            traceback.print_exc()

    def kept(self, entry: int, **facts: Any) -> None:
        """Record that something is kept for a look, and not to be removed yet.

        :param entry: the number that :meth:`intend` gave.
        :param facts: e.g. why.
        """
        self._write({"op": "kept", **self._of(entry), "facts": facts}, sync=True)

    def note(self, text: str, **facts: Any) -> None:
        """Record something for the people who read the journal.

        :param text: what happened.
        :param facts: more about it.
        """
        self._write({"op": "note", "text": text, "facts": facts}, sync=False)

    def end(self) -> None:
        """Record that the session ended in order; what it kept is kept from now on."""
        self._write({"op": "end"}, sync=True)

    def close(self) -> None:
        """Close the file. The record stays open: only :meth:`end` says that the session ended."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _of(self, entry: int) -> dict[str, Any]:
        # Kind and name go into every line, so that a thing is found even if its first line is damaged.
        kind, name = self._named[entry]
        return {"entry": entry, "kind": kind, "name": name}

    def _write(self, fields: dict[str, Any], *, sync: bool) -> int:
        with self._lock:
            number = self._next
            at = datetime.now(timezone.utc).isoformat()
            line = _encode({"n": number, "at": at, **fields})
            # What follows a torn line goes on a new one, or it would be lost with it.
            data = b"\n" + line if self._torn else line
            # Until the whole line is written, the file may end in half of it (a full disk).
            self._torn = True
            while data:
                data = data[os.write(self._descriptor, data) :]
            self._torn = False
            self._next = number + 1
            if fields["op"] == "intend":
                self._named[number] = (fields["kind"], fields["name"])
            if sync:
                _sync(self._descriptor)
            return number


def check_relative(name: str) -> None:
    """Refuse a path that is absolute, leads upwards or is the directory itself.

    :param name: a path relative to a session directory.
    :raises ValueError: if it is not strictly below that directory.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise ValueError(f"not a path below the session directory: {name!r}")


def read_journal(path: Path) -> JournalContents:
    """Read a journal, whatever its state; what cannot be read is counted and never raised.

    :param path: the file, which need not exist.
    """
    try:
        return _parse(read_private(path, _MOST_BYTES))
    except FileNotFoundError:
        return JournalContents()
    except OSError as error:
        # A link, a pipe, somebody else's: no session of ours wrote it.
        return JournalContents(refused=f"its journal is not read: {error}")


def _parse(text: bytes) -> JournalContents:
    contents = JournalContents()
    resources: dict[int, Resource] = {}
    damaged = 0
    for line in filter(None, text.split(b"\n")):
        # A line with the right checksum may still be an unknown version's.
        try:
            contents = _apply(_decode(line), contents, resources)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            damaged += 1
    return replace(contents, resources=[resources[entry] for entry in sorted(resources)], damaged=damaged)


def _apply(
    fields: dict[str, Any], contents: JournalContents, resources: dict[int, Resource]
) -> JournalContents:
    number, operation = _number(fields["n"]), fields["op"]
    entry = _number(fields.get("entry", number))
    at = _time(fields["at"])
    # Also above the numbers that are only referred to: their own lines may be damaged.
    next_number = max(contents.next_number, number + 1, entry + 1)
    contents = replace(contents, last=at, next_number=next_number)
    if operation == "begin":
        return replace(contents, host=Host.from_dict(fields["host"]))
    if operation == "end":
        return replace(contents, ended=at)
    if operation in _STATES:
        known = resources[entry].facts if entry in resources else {}
        resources[entry] = Resource(
            entry,
            _text(fields["kind"]),
            _text(fields["name"]),
            _STATES[operation],
            {**known, **fields["facts"]},
        )
    return contents


def _number(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"not a line's number: {value!r}")
    return value


def _time(value: str) -> datetime:
    at = datetime.fromisoformat(value)
    # Others are added to it, and compared with it.
    if at.tzinfo is None or at.year == MAXYEAR:
        raise ValueError(f"not a time of a session: {value!r}")
    return at


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value


def _encode(fields: dict[str, Any]) -> bytes:
    # As it will be read: tuples are lists then, and numbers that are keys are texts.
    fields = json.loads(json.dumps(fields))
    return json.dumps({**fields, "crc32": _checksum(fields)}, sort_keys=True).encode() + b"\n"


def _checksum(fields: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(fields, sort_keys=True).encode())


def _decode(line: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line)
    if fields.pop("crc32") != _checksum(fields):
        raise ValueError("damaged")
    return fields


def _read_all(descriptor: int) -> bytes:
    return b"".join(_chunks(descriptor))


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, 1 << 16):
        yield chunk


def _sync(descriptor: int) -> None:
    # macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _sync_directory(path: Path) -> None:
    # A new file's name is in its directory, which has to reach the disk as well.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
