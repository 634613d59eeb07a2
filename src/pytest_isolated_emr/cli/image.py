"""``isolated-emr image``: an image for the containers, where no registry is reached."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from pytest_isolated_emr.backends.docker.engine import Engine

# Seconds that the engine may take for one answer. Importing an image is one.
_ENGINE_TIMEOUT = 600
_SIGNAL_BASE = 128


@click.group()
def image() -> None:
    """Images for the docker backend."""


@image.command()
@click.option(
    "--suite", metavar="NAME", help="The Debian suite. Default: the one with the Python that runs this."
)
@click.option(
    "--tag", metavar="NAME:TAG", help="The image's name. Default: isolated-emr:python and the version."
)
@click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    metavar="URL",
    help="Where Debian's packages come from: a URL, or a line for sources.list. Can be given several times.",
)
@click.option("--force", is_flag=True, help="Build it although the name is taken, which it takes over.")
def build(suite: str | None, tag: str | None, mirrors: tuple[str, ...], force: bool) -> None:
    """Build a small image with Python and Java from Debian's packages, for machines that reach no registry."""
    # The engine's client is an extra, and slow to import.
    from pytest_isolated_emr.backends.docker import debian, image_build

    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    chosen = debian.suite_named(suite) if suite else debian.suite_of_python(minor)
    tag = tag or f"isolated-emr:python{chosen.python}"
    # A cancelled job clears up as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    client = Engine.connect(timeout=_ENGINE_TIMEOUT).client.client
    found = image_build.find_image(client, tag)
    if found is not None and not force:
        click.echo(f"{found.tag} is there already: {found.description}. --force builds it anew.")
        return
    click.echo(f"building {tag} of Debian {chosen.name}: Python {chosen.python}, Java {chosen.java}")
    built = image_build.build_image(client, chosen, tag, mirrors=mirrors, say=click.echo)
    click.echo(f"{built.tag}: {built.description}")


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(_SIGNAL_BASE + number)
