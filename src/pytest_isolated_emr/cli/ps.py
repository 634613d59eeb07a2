"""``isolated-emr ps`` and ``top``: the live sessions of this machine, once or again and again."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Column, Table

from pytest_isolated_emr.cli.live_sessions import WAITING, Looks
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_WIDTH
from pytest_isolated_emr.lifecycle.state_root import StateRoot

# What is seen of processors in less time says little.
_ONE_LOOK_SECONDS = 0.2
_SECONDS_BETWEEN = 2.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line for each look.")
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
def ps(as_json: bool, watch: bool) -> None:
    """List the live sessions of this machine, those that wait for their turn, and the spares that wait for a run."""
    if watch:
        _watch(as_json=as_json)
        return
    sessions = Looks(StateRoot.from_environment()).again(_ONE_LOOK_SECONDS)
    if as_json:
        click.echo(json.dumps(sessions, indent=1))
    elif not sessions:
        click.echo("no live session")
    else:
        Console().print(_table(sessions))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line for each look.")
def top(as_json: bool) -> None:
    """Show the live sessions again and again, until Ctrl-C: ps --watch."""
    _watch(as_json=as_json)


def _watch(*, as_json: bool) -> None:
    try:
        looks = Looks(StateRoot.from_environment())
        sessions = looks.again(_ONE_LOOK_SECONDS)
        if as_json:
            while True:
                click.echo(json.dumps(sessions))
                sessions = looks.again(_SECONDS_BETWEEN)
        with Live(_table(sessions), auto_refresh=False) as live:
            while True:
                live.update(_table(looks.again(_SECONDS_BETWEEN)), refresh=True)
    except (KeyboardInterrupt, BrokenPipeError):
        # That is how it ends.
        return


def _table(sessions: list[dict[str, Any]]) -> Table:
    run_id = Column("run id", no_wrap=True, min_width=RUN_ID_WIDTH)
    table = Table(
        run_id, "state", "backend", "keeper", "age", "memory", "cores", "claim", "directory", "command"
    )
    for session in sessions:
        claim = session["claim"]
        table.add_row(
            session["run_id"],
            f"{WAITING}, {session['place']}." if session["place"] else escape(session["state"]),
            escape(session["backend"]),
            str(session["keeper_pid"]),
            f"{session['age_seconds']} s",
            f"{session['memory_bytes'] >> 20} MB",
            str(session["cores"]),
            f"{claim['memory_bytes'] >> 20} MB, {claim['cores']}" if claim else "",
            # A test's parameters are in brackets, which rich would take for its own marks.
            escape(session["cwd"]),
            escape(" ".join(session["command"])),
        )
    return table
