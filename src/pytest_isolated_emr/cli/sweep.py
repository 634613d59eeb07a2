"""``isolated-emr sweep``: remove what dead sessions left."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pytest_isolated_emr.backends import removers
from pytest_isolated_emr.cli.sweep_scratch import Scratch, sweep_scratch
from pytest_isolated_emr.cli.sweep_spares import sweep_spares
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_WIDTH
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import Report
from pytest_isolated_emr.lifecycle.sweep import sweep as sweep_root


@click.command()
@click.option(
    "--delete", is_flag=True, help="Remove it. Without this the command only says what it would remove."
)
@click.option("--spares", is_flag=True, help="Instead: the spares that wait for a next run.")
@click.option("--kept", is_flag=True, help="Include what was kept of failed tests.")
@click.option(
    "--scratch",
    type=Scratch(),
    help="Instead of this machine: what dead sessions of any machine left in this place and its account on AWS.",
)
@click.option("--region", default=None, help="Where their clusters are. Default: as for pytest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sweep(
    delete: bool,
    spares: bool,
    kept: bool,
    scratch: tuple[str, str] | None,
    region: str | None,
    as_json: bool,
) -> None:
    """Remove what dead sessions of yours left on this machine. Live sessions are never touched.

    Exits with 1 if something could not be removed.
    """
    if spares:
        if kept or scratch is not None:
            raise click.UsageError("--spares goes with --delete and --json alone")
        sys.exit(0 if sweep_spares(delete=delete, as_json=as_json) else 1)
    if scratch is not None:
        if kept:
            raise click.UsageError("--kept is of this machine, and --scratch is not")
        sys.exit(0 if sweep_scratch(scratch, region=region, delete=delete, as_json=as_json) else 1)
    if region is not None:
        raise click.UsageError("--region goes with --scratch")
    report = sweep_root(StateRoot.from_environment(), delete=delete, kept=kept, removers=removers())
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1, default=str))
    else:
        _print(report)
    sys.exit(1 if report.failed else 0)


def _print(report: Report) -> None:
    table = Table(
        Column("session", no_wrap=True, min_width=RUN_ID_WIDTH), "what happens", "why", "processes", "disk"
    )
    rows = [(leftover, "removed" if report.deleted else "would be removed") for leftover in report.removed]
    rows += [(failure.leftover, "failed: " + "; ".join(failure.problems)) for failure in report.failed]
    rows += [(leftover, "left alone") for leftover in report.reported]
    if not rows:
        click.echo("nothing is left over")
        return
    for leftover, outcome in rows:
        # What is there may have anybody's name, which rich is not to take for its own marks.
        texts = map(escape, (leftover.name, outcome, leftover.reason))
        table.add_row(*texts, str(len(leftover.processes)), f"{leftover.size_bytes / 1e6:.1f} MB")
    Console().print(table)
    if report.removed and not report.deleted:
        click.echo("This was a dry run; `isolated-emr sweep --delete` removes it.")
