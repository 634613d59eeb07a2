"""``isolated-emr fetch``: jars ahead of time, for machines that will be offline."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.settings import DockerSettings, Settings, default_region
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
@click.option(
    "--image",
    metavar="NAME",
    help="Archive the classes of Spark in this image's containers, not of Spark on this machine.",
)
def fetch(repositories: tuple[str, ...], packages: tuple[str, ...], image: str | None) -> None:
    """Fetch the jars that the installed Spark needs for S3 into the cache, so that tests run offline.

    It also archives Spark's classes, so that Spark starts in half the time.
    """
    root = StateRoot.from_environment()
    root.open()
    settings = Settings(
        repositories=repositories,
        backend="docker" if image else "local",
        docker=DockerSettings(image=image),
        region=default_region(os.environ),
    )
    wiring = SparkWiring(settings, dict(os.environ))
    jar_set = wiring.fetch_jars(click.echo)
    size = sum(path.stat().st_size for path in jar_set.jars)
    click.echo(f"{len(jar_set.jars)} jars, {size / 1e6:.1f} MB, in {jar_set.directory}")
    if packages:
        fetched = wiring.with_packages({"spark.jars.packages": ",".join(packages)}, click.echo)
        click.echo(f"packages: {fetched['spark.jars']}")
    archive = _archive(settings, wiring)
    click.echo(f"Spark's classes, {archive.stat().st_size / 1e6:.0f} MB, in {archive}")


def _archive(settings: Settings, wiring: SparkWiring) -> Path:
    if settings.backend == "docker":
        # Few have an engine.
        from pytest_isolated_emr import class_data_of_image

        return class_data_of_image.make(settings, wiring, click.echo)
    class_data = wiring.class_data(click.echo)
    class_data.make(click.echo)
    return class_data.path
