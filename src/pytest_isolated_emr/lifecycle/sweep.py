"""Removing what dead sessions left on this machine, and nothing else.

Everything is judged twice: once to make the list, and again under the session's lock just before it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pytest_isolated_emr.lifecycle import spare_slot
from pytest_isolated_emr.lifecycle.journal import JOURNAL_NAME, Journal, Resource
from pytest_isolated_emr.lifecycle.leftovers import Leftover, live_processes, look, plan
from pytest_isolated_emr.lifecycle.processes import end_tree
from pytest_isolated_emr.lifecycle.session_directory import SessionAlive, remove_session, take_over
from pytest_isolated_emr.lifecycle.state_root import StateRoot

__all__ = ["Failure", "Leftover", "Remover", "Report", "plan", "sweep"]

#: What removes one kind of resource of the dead session with a run id. It may be called again for what is gone already,
#: and raises if it fails.
Remover = Callable[[str, Resource], None]

# A process that starts others while it is being ended may need another round; this many are enough.
_ROUNDS = 5


@dataclass(frozen=True)
class Failure:
    """A dead session of which something could not be removed; its record stays, for the next sweep.

    :param leftover: the session.
    :param problems: what could not be removed, and why.
    """

    leftover: Leftover
    problems: list[str]


@dataclass
class Report:
    """What a sweep did, or would do.

    :param deleted: whether it was told to delete; otherwise ``removed`` is what would have been removed.
    :param removed: what was removed; of those with a ``kept_until`` the kept part stays.
    :param failed: what could not be removed, wholly or in part.
    :param reported: what was left as it is, each with its reason.
    """

    deleted: bool
    removed: list[Leftover] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    reported: list[Leftover] = field(default_factory=list)


def sweep(
    root: StateRoot,
    *,
    delete: bool = False,
    kept: bool = False,
    removers: Mapping[str, Remover] | None = None,
    now: datetime | None = None,
) -> Report:
    """Remove what dead sessions of this user left on this machine.

    :param root: the state root.
    :param delete: whether to remove anything; otherwise say only what would be removed.
    :param kept: whether to remove also what was kept for a look and whose time has not come.
    :param removers: what removes resources outside of the session's directory, by their kind.
    :param now: the time by which retention is judged.
    """
    report = Report(deleted=delete)
    for leftover in plan(root, kept=kept, now=now):
        if leftover.standing != "dead":
            report.reported.append(leftover)
        elif not delete:
            report.removed.append(leftover)
        else:
            _remove(root, leftover, report, kept=kept, removers=removers or {}, now=now)
    if delete:
        spare_slot.remove_dead(root)
    return report


def _remove(
    root: StateRoot,
    leftover: Leftover,
    report: Report,
    *,
    kept: bool,
    removers: Mapping[str, Remover],
    now: datetime | None,
) -> None:
    path = root.sessions / leftover.name
    try:
        with take_over(path) as directory:
            spared = live_processes(root, other_than=path.name)
            again = look(path, spared=spared, kept=kept, locked=True, now=now)
            if again is None:
                return
            if again.standing != "dead":
                report.reported.append(again)
                return
            leftover = again
            problems = _end_processes(root, path, leftover, kept=kept, now=now)
            problems += _remove_resources(path, leftover, removers)
            if not problems:
                # Only now: the directory holds the record of what else there is.
                problems = remove_session(path, directory, keep=leftover.kept_until is not None)
    except SessionAlive:
        # Another sweep is at it.
        return
    except FileNotFoundError:
        if not _remove_empty(path):
            return
        problems = []
    except OSError as error:
        problems = [str(error)]
    if problems:
        report.failed.append(Failure(leftover, problems))
    else:
        report.removed.append(leftover)


def _end_processes(
    root: StateRoot, path: Path, leftover: Leftover, *, kept: bool, now: datetime | None
) -> list[str]:
    current: Leftover | None = leftover
    for _ in range(_ROUNDS):
        if current is None or not current.processes:
            return []
        spared = live_processes(root, other_than=path.name)
        left = end_tree(current.processes, spared=spared)
        if left:
            return [f"process {identity.pid} could not be ended" for identity in left]
        current = look(path, spared=spared, kept=kept, locked=True, now=now)
    return ["its processes start new ones faster than they can be ended"]


def _remove_resources(path: Path, leftover: Leftover, removers: Mapping[str, Remover]) -> list[str]:
    if not leftover.resources:
        return []
    problems = []
    with Journal.open(path / JOURNAL_NAME) as journal:
        # In the reverse order of their making: the later ones may stand on the earlier.
        for resource in reversed(leftover.resources):
            remover = removers.get(resource.kind)
            if remover is None:
                problems.append(
                    f"{resource.kind} {resource.name}: nothing here knows how to remove that kind"
                )
                continue
            try:
                remover(leftover.run_id, resource)
            except Exception as error:  # noqa: BLE001 - a backend's; the rest is still to go
                problems.append(f"{resource.kind} {resource.name}: {error}")
            else:
                journal.removed(resource.entry)
    return problems


def _remove_empty(path: Path) -> bool:
    """Remove what a sweep that was killed at its last step left, and tell whether there was any."""
    try:
        path.rmdir()
    except OSError:
        # It is gone, or it is not empty and the next sweep will say why it stays.
        return False
    return True
