"""The command line, ``isolated-emr``: one module for each command."""

from __future__ import annotations

import sys

import click

from pytest_isolated_emr.cli.doctor import doctor
from pytest_isolated_emr.cli.exec import exec_
from pytest_isolated_emr.cli.fetch import fetch
from pytest_isolated_emr.cli.image import image
from pytest_isolated_emr.cli.logs import logs
from pytest_isolated_emr.cli.ps import ps, top
from pytest_isolated_emr.cli.sweep import sweep
from pytest_isolated_emr.errors import EXIT_NO_ENVIRONMENT, IsolatedEmrError, UnknownSession
from pytest_isolated_emr.lifecycle.system_errors import in_words_here


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pytest-isolated-emr")
def cli() -> None:
    """Private Spark, S3 and EMR for a test run, or for any command."""


for command in (doctor, exec_, fetch, image, logs, ps, sweep, top):
    cli.add_command(command)


def main() -> None:
    """Run the command line; an environment that cannot be had exits with 75."""
    try:
        cli.main(prog_name="isolated-emr")
    except (IsolatedEmrError, OSError) as error:
        told = in_words_here(error)
        if told is None:
            raise
        click.echo(f"ERROR: {told}", err=True)
        sys.exit(1 if isinstance(told, UnknownSession) else EXIT_NO_ENVIRONMENT)
