"""``isolated-emr ps``: the live sessions of this machine."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import click
import psutil
from rich.console import Console
from rich.table import Column, Table

from pytest_isolated_emr.lifecycle.processes import processes_of
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_WIDTH, is_run_id
from pytest_isolated_emr.lifecycle.session_directory import SessionMetadata, is_alive, read_metadata
from pytest_isolated_emr.lifecycle.state_root import StateRoot


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ps(as_json: bool) -> None:
    """List the live sessions of this machine, and the spares that wait for one."""
    sessions = _live_sessions()
    if as_json:
        click.echo(json.dumps(sessions, indent=1))
        return
    if not sessions:
        click.echo("no live session")
        return
    run_id = Column("run id", no_wrap=True, min_width=RUN_ID_WIDTH)
    table = Table(run_id, "state", "backend", "keeper", "age", "memory", "directory", "command")
    for session in sessions:
        table.add_row(
            session["run_id"],
            session["state"],
            session["backend"],
            str(session["keeper_pid"]),
            f"{session['age_seconds']} s",
            f"{session['memory_bytes'] >> 20} MB",
            session["cwd"],
            " ".join(session["command"]),
        )
    Console().print(table)


def _live_sessions() -> list[dict[str, Any]]:
    root = StateRoot.from_environment()
    if not root.sessions.is_dir():
        return []
    sessions = []
    for path in sorted(root.sessions.iterdir()):
        if not is_run_id(path.name):
            continue
        try:
            alive = is_alive(path)
        except OSError:
            # It is just being removed, or is somebody else's.
            continue
        metadata = read_metadata(path)
        if alive and metadata is not None:
            sessions.append(_describe(metadata))
    return sessions


def _describe(metadata: SessionMetadata) -> dict[str, Any]:
    pids = [metadata.keeper.pid, *(identity.pid for identity in processes_of(metadata.run_id))]
    age = datetime.now(timezone.utc) - datetime.fromisoformat(metadata.started)
    return {
        "run_id": metadata.run_id,
        "state": metadata.state,
        "backend": metadata.backend,
        "keeper_pid": metadata.keeper.pid,
        "age_seconds": int(age.total_seconds()),
        "memory_bytes": sum(_memory(pid) for pid in pids),
        "processes": len(pids),
        "cwd": metadata.cwd,
        "command": metadata.command,
        "started": metadata.started,
    }


def _memory(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        # It has ended meanwhile.
        return 0
