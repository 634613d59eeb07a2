"""Processes that the keeper starts: each in the journal before it exists, and ended with all that came from it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.lifecycle.journal import Journal
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity, end_tree, raise_oom_score


class Child:
    """A running child of the keeper.

    :param process: the process, its standard input a pipe that only the keeper holds (it ends with the keeper), or
        nothing.
    :param identity: what tells it from a later process of the same pid.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, identity: ProcessIdentity, journal: Journal, entry: int
    ) -> None:
        self.process = process
        self.identity = identity
        self._journal = journal
        self._entry = entry

    async def wait(self) -> int:
        """Wait until the process has ended by itself, and return its exit code, negative for a signal."""
        returncode = await self.process.wait()
        self._journal.removed(self._entry)
        return returncode

    async def end(self) -> list[str]:
        """End the process and its descendants.

        :returns: what could not be ended.
        """
        # What it was doing is private to the session and goes with it, so there is nothing to wait for.
        left = await asyncio.to_thread(end_tree, [self.identity], 0.0)
        if left:
            return [f"process {identity.pid}" for identity in left]
        await self.process.wait()
        self._journal.removed(self._entry)
        return []


async def start(
    role: str,
    command: Sequence[str],
    *,
    journal: Journal,
    environ: Mapping[str, str],
    cwd: Path,
    log: Path,
    stdin: int = subprocess.PIPE,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a process that belongs to the session.

    :param role: what it is for, such as ``endpoint``.
    :param command: the program and its arguments; no secret may be among them.
    :param journal: the session's.
    :param environ: the whole environment.
    :param cwd: the working directory.
    :param log: takes what it prints.
    :param stdin: ``subprocess.DEVNULL`` for a program that may read it; a pipe tells it when the keeper ends.
    :param stdout: ``subprocess.PIPE`` or a descriptor, for its standard output instead of the log.
    :param pass_fds: descriptors that it inherits.
    :raises OSError: the program cannot be started.
    """
    entry = journal.intend("process", role)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            stdout=output if stdout is None else stdout,
            stderr=output,
            env=dict(environ),
            cwd=cwd,
            pass_fds=pass_fds,
            # A group of its own: Ctrl-C in the terminal does not reach it.
            start_new_session=True,
        )
    identity = ProcessIdentity.of_child(process.pid)
    journal.created(entry, **identity.to_dict())
    # Short of memory, the kernel shall take these before the keeper.
    raise_oom_score(process.pid)
    return Child(process, identity, journal, entry)


def describe_exit(returncode: int) -> str:
    """Say in words how a process ended.

    :param returncode: as subprocess has it: negative for a signal.
    """
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"{name} (out of memory?)" if name == "SIGKILL" else name


def tail(log: Path, size: int = 4000, start: int = 0) -> str:
    """Return the end of a log, in whole lines.

    :param log: the file, which need not exist.
    :param size: the most characters to return.
    :param start: where to begin at the earliest, in bytes.
    """
    try:
        with log.open("rb") as file:
            end = file.seek(0, 2)
            begin = max(start, end - size)
            file.seek(begin)
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    if begin > start and "\n" in text:
        text = text.split("\n", 1)[1]
    return text.strip()
