"""``isolated-emr sweep --scratch``: what dead sessions of any machine left on AWS."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pytest_isolated_emr.lifecycle.run_id import RUN_ID_WIDTH
from pytest_isolated_emr.settings import default_region

if TYPE_CHECKING:
    from pytest_isolated_emr.backends.emr.orphans import Report


class Scratch(click.ParamType[tuple[str, str]]):
    """A bucket and a prefix in it, as ``s3://bucket/prefix``."""

    name = "s3://bucket/prefix"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Take it apart.

        :param value: what was given.
        :param param: the option.
        :param ctx: the command's.
        """
        if isinstance(value, tuple):
            return value
        # It has boto3 with it.
        from pytest_isolated_emr.backends.emr.prefix import check_prefix

        scheme, _, rest = value.partition("://")
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.removesuffix("/")
        try:
            check_prefix(bucket, prefix)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if scheme not in ("s3", "s3a"):
            self.fail(f"{value!r} does not begin with s3://", param, ctx)
        return bucket, prefix


def sweep_scratch(scratch: tuple[str, str], *, region: str | None, delete: bool, as_json: bool) -> bool:
    """Sweep a scratch and print what came of it.

    :param scratch: bucket and prefix.
    :param region: where the clusters are; None for the one that the environment names.
    :param delete: whether to remove anything.
    :param as_json: whether to print JSON.
    :returns: whether all that was to go is gone.
    """
    from pytest_isolated_emr.backends.emr import orphans
    from pytest_isolated_emr.backends.emr.account import Account
    from pytest_isolated_emr.backends.emr.pace import Pace

    account = Account.connect(region or default_region(os.environ))
    report = orphans.sweep(
        account,
        *scratch,
        delete=delete,
        pace=Pace.of_environment(),
        say=lambda text: click.echo(f"isolated-emr: {text}", err=True),
    )
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1))
    else:
        _print(report)
    return not report.failed


def _print(report: Report) -> None:
    rows = [(orphan, "removed" if report.deleted else "would be removed") for orphan in report.removed]
    rows += [(failure.orphan, "failed: " + "; ".join(failure.problems)) for failure in report.failed]
    rows += [(orphan, "left alone") for orphan in report.reported]
    if not rows:
        click.echo("nothing is left over")
        return
    table = Table(
        Column("session", no_wrap=True, min_width=RUN_ID_WIDTH), "what", "what happens", "why", "whose"
    )
    for orphan, outcome in rows:
        whose = " on ".join(text for text in (orphan.owner, orphan.host) if text)
        # What is on AWS may be anybody's text, which rich is not to take for its own marks.
        table.add_row(*map(escape, (orphan.run_id, orphan.name, outcome, orphan.reason, whose)))
    Console().print(table)
    if report.removed and not report.deleted:
        click.echo("This was a dry run; --delete removes it.")
