"""``isolated-emr sweep --spares``: end the sessions that were started ahead and that nobody has claimed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass

import click

from pytest_isolated_emr.errors import IsolatedEmrError
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.lifecycle import spare_slot
from pytest_isolated_emr.lifecycle.session_directory import is_alive
from pytest_isolated_emr.lifecycle.state_root import StateRoot


@dataclass(frozen=True)
class SpareOutcome:
    """A spare, and what becomes of it.

    :param run_id: its run id.
    :param outcome: ``would be ended``, ``ended``, ``claimed`` by a session meanwhile, or ``does not answer``.
    """

    run_id: str
    outcome: str


def sweep_spares(*, delete: bool, as_json: bool) -> bool:
    """End all spares, or say which would be, and print what becomes of each; tell whether none is left.

    :param delete: whether to end them.
    :param as_json: whether to print JSON.
    """
    root = StateRoot.from_environment()
    run_ids = [run_id for key in spare_slot.keys(root) if (run_id := spare_slot.offered(root, key))]
    found = [
        SpareOutcome(run_id, _end(root, run_id) if delete else "would be ended")
        for run_id in run_ids
        if _lives(root, run_id)
    ]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=1))
    else:
        for each in found:
            click.echo(f"spare {each.run_id}: {each.outcome}")
        if not found:
            click.echo("there is no spare")
        elif not delete:
            click.echo("This was a dry run; `isolated-emr sweep --spares --delete` ends them.")
    return all(each.outcome != "does not answer" for each in found)


def _lives(root: StateRoot, run_id: str) -> bool:
    with suppress(OSError):
        return is_alive(root.sessions / run_id)
    return False


def _end(root: StateRoot, run_id: str) -> str:
    try:
        ended = KeeperClient.end_spare(root.sessions / run_id)
    except IsolatedEmrError:
        return "does not answer"
    return "ended" if ended else "claimed"
