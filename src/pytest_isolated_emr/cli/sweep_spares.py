"""``isolated-emr sweep --spares``: end the sessions that were started ahead and that nobody has claimed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from pytest_isolated_emr.errors import IsolatedEmrError
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.lifecycle.session_directory import is_alive, read_metadata, session_directories
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
    found = [
        SpareOutcome(path.name, _end(path) if delete else "would be ended")
        for path in session_directories(root)
        if _is_spare(path)
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


def _is_spare(path: Path) -> bool:
    metadata = read_metadata(path)
    with suppress(OSError):
        return metadata is not None and metadata.is_spare and is_alive(path)
    return False


def _end(path: Path) -> str:
    try:
        ended = KeeperClient.end_spare(path)
    except IsolatedEmrError:
        return "does not answer"
    return "ended" if ended else "claimed"
