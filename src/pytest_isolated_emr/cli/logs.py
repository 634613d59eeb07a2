"""``isolated-emr logs``: what the parts of a session printed."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import click

from pytest_isolated_emr import errors
from pytest_isolated_emr.lifecycle.run_id import is_run_id, started_at
from pytest_isolated_emr.lifecycle.session_directory import read_metadata
from pytest_isolated_emr.lifecycle.state_root import StateRoot


@click.command()
@click.argument("run_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the logs' paths as JSON.")
def logs(run_id: str | None, as_json: bool) -> None:
    """Print the logs of a session: a live one, or one of which they were kept. By default the latest."""
    directory = _session(run_id)
    found = [*sorted(directory.glob("logs/*.log")), *sorted(directory.glob("kept/logs-*/*.log"))]
    if as_json:
        click.echo(json.dumps({"run_id": directory.name, "logs": [str(path) for path in found]}, indent=1))
        return
    for path in found:
        click.echo(f"==> {path} <==")
        click.echo(path.read_text(errors="replace"))


def _session(run_id: str | None) -> Path:
    sessions = StateRoot.from_environment().sessions
    known = sorted(path for path in sessions.glob("*") if is_run_id(path.name)) if sessions.is_dir() else []
    if run_id is None:
        # A run that claimed a spare began later than its run id says, and a spare is no run yet.
        known = sorted((path for path in known if not _is_spare(path)), key=_started)
    for path in reversed(known):
        if run_id is None or path.name == run_id:
            return path
    raise errors.UnknownSession(
        f"There is no session {run_id}." if run_id else "There is no session.",
        checked=f"{sessions}: {len(known)} sessions",
        cure="`isolated-emr ps` lists the live ones; of others the logs stay only if a test failed, for three days.",
    )


def _is_spare(path: Path) -> bool:
    metadata = read_metadata(path)
    return metadata is not None and metadata.is_spare


def _started(path: Path) -> datetime:
    metadata = read_metadata(path)
    if metadata is not None:
        with suppress(ValueError):
            return datetime.fromisoformat(metadata.started).astimezone(timezone.utc)
    return started_at(path.name)
