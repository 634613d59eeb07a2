"""Taking an environment away, in the reverse order of its making, past whatever fails on the way."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable, Sequence

from pytest_isolated_emr.backends.base import Backend, SessionAws
from pytest_isolated_emr.lifecycle.processes import (
    ProcessIdentity,
    descendants_of,
    end_tree,
    processes_of,
)
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory


async def take_down(
    directory: SessionDirectory,
    *,
    keep: bool,
    adopted: Sequence[ProcessIdentity],
    backend: Backend | None,
    aws: SessionAws | None,
    has_ended_all: asyncio.Event,
) -> list[str]:
    """End every process of the session, then remove its directory and give up its lock.

    :param directory: the session's, still locked.
    :param keep: whether what is kept for a look stays.
    :param adopted: processes that the client started for the session.
    :param backend: what started Spark, if anything did.
    :param aws: the AWS that the tests saw, if it was made.
    :param has_ended_all: is set when nothing of the session acts any more, and files alone are left to be removed.
    :returns: what could not be removed; it stays in the journal for the sweep.
    """
    problems: list[str] = []

    async def attempt(what: str, step: Callable[[], Awaitable[list[str]]]) -> None:
        try:
            problems.extend(await step())
        except Exception as error:  # noqa: BLE001 - the rest has to go as well; the user is told of this
            traceback.print_exc()
            problems.append(f"{what}: {type(error).__name__}: {error}")

    async def end_adopted() -> list[str]:
        return _describe(await asyncio.to_thread(end_tree, list(adopted), 0.0))

    async def end_descendants() -> list[str]:
        # What went its own way (a daemon, an orphan of a JVM that died): found by the mark in its environment or, where
        # it has cleaned that, as a child of the keeper, which is the subreaper of all that it started.
        strays = set(await asyncio.to_thread(processes_of, directory.run_id))
        strays |= await asyncio.to_thread(descendants_of, ProcessIdentity.of(os.getpid()))
        return _describe(await asyncio.to_thread(end_tree, strays, 0.0))

    async def remove() -> list[str]:
        try:
            directory.journal.end()
        except OSError:
            # What fills the disk goes now. What is kept is dated by the line before.
            traceback.print_exc()
        # There may be very many files, and the client is answered meanwhile.
        return await asyncio.to_thread(directory.remove, keep=keep)

    if adopted:
        await attempt("the command", end_adopted)
    if backend is not None:
        await attempt("Spark", backend.close)
    if aws is not None:
        await attempt("AWS", aws.close)
    await attempt("stray processes", end_descendants)
    if not problems:
        # Else the journal has to stay: it is what the sweep goes by.
        has_ended_all.set()
        await attempt("the session's directory", remove)
    directory.release()
    return problems


def _describe(left: Sequence[ProcessIdentity]) -> list[str]:
    return [f"process {identity.pid}" for identity in left if identity.pid != os.getpid()]
