"""``isolated-emr logs``: what the parts of a session printed."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from pytest_isolated_emr import errors
from pytest_isolated_emr.lifecycle.run_id import started_at
from pytest_isolated_emr.lifecycle.session_directory import read_metadata, session_directories
from pytest_isolated_emr.lifecycle.state_root import StateRoot

# A log may be larger than memory.
_CHUNK = 1 << 16


@click.command()
@click.argument("run_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the logs' paths as JSON.")
def logs(run_id: str | None, as_json: bool) -> None:
    """Print the logs of a session: a live one, or one of which they were kept. By default the latest."""
    directory = _session(run_id)
    found = [
        path
        for pattern in ("logs/*.log", "kept/logs-*/*.log")
        for path in sorted(directory.glob(pattern))
        if _is_own(path, directory)
    ]
    if as_json:
        click.echo(json.dumps({"run_id": directory.name, "logs": [str(path) for path in found]}, indent=1))
        return
    for path in found:
        click.echo(f"==> {path} <==")
        with path.open(errors="replace") as log:
            while text := log.read(_CHUNK):
                click.echo(text, nl=False)
        click.echo()


def _is_own(path: Path, directory: Path) -> bool:
    """Tell whether a log is a file, and no link leads to it from its session's directory."""
    return path.is_file() and path.resolve() == directory.resolve() / path.relative_to(directory)


def _session(run_id: str | None) -> Path:
    root = StateRoot.from_environment()
    known = session_directories(root)
    if run_id is None:
        # A run that claimed a spare began later than its run id says, and a spare is no run yet.
        known = sorted((path for path in known if not _is_spare(path)), key=_began)
    for path in reversed(known):
        if run_id is None or path.name == run_id:
            return path
    raise errors.UnknownSession(
        f"There is no session {run_id!r}." if run_id else "There is no session.",
        checked=f"{root.sessions}: {len(known)} sessions",
        cure="`isolated-emr ps` lists the live ones; of others the logs stay only if a test failed, for three days.",
    )


def _is_spare(path: Path) -> bool:
    metadata = read_metadata(path)
    return metadata is not None and metadata.is_spare


def _began(path: Path) -> datetime:
    metadata = read_metadata(path)
    if metadata is None or metadata.run_id != path.name:
        return started_at(path.name)
    return metadata.began
