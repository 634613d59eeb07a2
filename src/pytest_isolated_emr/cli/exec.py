"""``isolated-emr exec``: any command inside a fresh environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

import click

from pytest_isolated_emr import errors
from pytest_isolated_emr.backend_options import backend_options
from pytest_isolated_emr.backends.base import VisibleFiles
from pytest_isolated_emr.claims import claim_of_command
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_VARIABLE
from pytest_isolated_emr.session import Session
from pytest_isolated_emr.settings import Settings, default_region
from pytest_isolated_emr.spark.wiring import SparkWiring

# As a shell has it: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_08_02
_NOT_FOUND = 127
# Another would need to know what of the machine the command's Spark is to see.
_BACKENDS = ("local",)
_SIGNAL_BASE = 128


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.option(
    "--backend",
    type=click.Choice(_BACKENDS),
    default=_BACKENDS[0],
    show_default=True,
    help="Where Spark runs.",
)
@click.option("--region", default=None, help="The AWS region that clients see. Default: as for pytest.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(backend: str, region: str | None, command: tuple[str, ...]) -> None:
    """Run COMMAND in an environment of its own, which is gone after it: isolated-emr exec -- COMMAND.

    Its exit code is passed on. spark-submit and PySpark find the session's settings, AWS clients its endpoint.
    """
    settings = Settings(backend=backend, region=region or default_region(os.environ))
    wiring = SparkWiring(settings, dict(os.environ))
    # Before there is a session, as it may take a while on the first day.
    wiring.fetch_jars(_say)
    session = Session.start(
        settings,
        sys.argv,
        Session.launch_keeper(settings),
        backend_options(settings, wiring.installation.version),
        claim_of_command(settings),
        _say,
    )
    try:
        session.environment_guard(is_remote=False).apply()
        conf = wiring.defaults(session, _say, _say)
        wiring.write_configuration(session.worker_directory / "conf", conf)
        spark = wiring.cluster_spark(session, conf, os.environ)
        session.client.request("offer_spark", spark=spark.to_message(), files=VisibleFiles().to_message())
        session.client.request("ready")
        code = _run(session, command)
        problems, notes = session.close(_say)
    finally:
        session.client.close()
    for note in notes:
        _say(note)
    for problem in problems:
        _say(f"could not be removed: {problem} (isolated-emr sweep --delete)")
    sys.exit(code)


def _say(text: str) -> None:
    click.echo(f"isolated-emr: {text}", err=True)


def _run(session: Session, command: Sequence[str]) -> int:
    """Run the command to its end and return its exit code as a shell has it."""
    ended: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: FrameType | None) -> None:
        ended.append(number)
        if child is not None:
            child.send_signal(number)

    # Ctrl-C reaches the command by itself, as it is in the terminal's group; here it must not cut the teardown off.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    try:
        child = subprocess.Popen(command, env=os.environ | {RUN_ID_VARIABLE: session.run_id})
    except OSError as error:
        click.echo(
            f"ERROR: {errors.CommandNotFound(f'{command[0]!r} cannot be started.', checked=str(error), cure='Give a program that is on PATH, or its path.')}",
            err=True,
        )
        return _NOT_FOUND
    # Should this process be killed, the keeper ends the command.
    session.client.request("adopt", pid=child.pid)
    for received in ended:
        child.send_signal(received)
    code = child.wait()
    return code if code >= 0 else _SIGNAL_BASE - code
