"""``isolated-emr fetch``: jars ahead of time, for machines that will be offline."""

from __future__ import annotations

import os

import click

from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.wiring import SparkWiring


@click.command()
@click.option(
    "--repository",
    "repositories",
    multiple=True,
    metavar="URL",
    help="A Maven repository in place of Central.",
)
@click.option(
    "--package", "packages", multiple=True, metavar="G:A:V", help="A package that suites ask for as well."
)
def fetch(repositories: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """Fetch the jars that the installed Spark needs for S3 into the cache, so that tests run offline.

    It also archives Spark's classes, so that Spark starts in half the time.
    """
    root = StateRoot.from_environment()
    root.open()
    wiring = SparkWiring(Settings(repositories=repositories), dict(os.environ))
    jar_set = wiring.fetch_jars(click.echo)
    size = sum(path.stat().st_size for path in jar_set.jars)
    click.echo(f"{len(jar_set.jars)} jars, {size / 1e6:.1f} MB, in {jar_set.directory}")
    if packages:
        settings = wiring.with_packages({"spark.jars.packages": ",".join(packages)}, click.echo)
        click.echo(f"packages: {settings['spark.jars']}")
    class_data = wiring.class_data(click.echo)
    class_data.make(click.echo)
    click.echo(f"Spark's classes, {class_data.path.stat().st_size / 1e6:.0f} MB, in {class_data.path}")
