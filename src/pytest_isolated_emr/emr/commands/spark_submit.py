"""``spark-submit`` in a cluster: Spark's own, on the session's Spark, with YARN's ways of placing files.

It becomes Spark's JVM, as the real one does: exit codes and signals are the job's own. In cluster mode it stays, as
YARN's client does, and the driver runs in a container's directory with its output in the container's logs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pytest_isolated_emr.emr import asked_variables
from pytest_isolated_emr.emr.commands import packages
from pytest_isolated_emr.emr.commands.containers import Container
from pytest_isolated_emr.emr.commands.context import CommandContext, say
from pytest_isolated_emr.emr.commands.jvm import spark_command, spark_variables
from pytest_isolated_emr.emr.commands.jvm_ahead import JvmAhead, Shape
from pytest_isolated_emr.emr.commands.s3_files import download, is_remote
from pytest_isolated_emr.emr.commands.submit_options import SubmitOptions
from pytest_isolated_emr.emr.instance_values import is_only_there, kept_here
from pytest_isolated_emr.spark import properties


def main() -> None:
    """Submit a job; does not return."""
    submit(CommandContext.of_this_process(), sys.argv[1:])


def submit(context: CommandContext, arguments: Sequence[str], ahead: JvmAhead | None = None) -> NoReturn:
    """Run a job with Spark.

    :param context: the cluster.
    :param arguments: as ``spark-submit`` takes them.
    :param ahead: a JVM that waits for a job.
    """
    options = SubmitOptions.parse(arguments)
    variables = {} if options.is_question else settle(context, options)
    if ahead is not None and (options.is_question or ahead.shape != Shape.of(context, options, variables)):
        ahead.end()
        ahead = None
    if options.is_question:
        _become(context, options, Path.cwd(), {})
    container = (ahead and ahead.container) or Container.make(context.directory)
    container.note(context.directory, os.environ.get("EMR_STEP_ID", ""))
    is_cluster = options.deploy_mode == "cluster"
    working = container.directory if is_cluster else Path.cwd()
    _fetch(context, options, container.directory, working)
    if is_cluster:
        sys.exit(_run_in_container(context, options, container, variables, ahead))
    if ahead is not None:
        _stand_for(ahead, options)
    _become(context, options, working, variables)


def settle(context: CommandContext, options: SubmitOptions) -> dict[str, str]:
    """Take from a command line what would lead out of the session; return the variables that it asks for.

    :param context: the cluster.
    :param options: of the command line.
    """
    _keep_in_session(options, context.spark.properties)
    return _variables(options, context.spark.properties, is_cluster=options.deploy_mode == "cluster")


def _keep_in_session(options: SubmitOptions, defaults: dict[str, str]) -> None:
    if options.deploy_mode is None:
        options.deploy_mode = options.conf.get("spark.submit.deployMode")
    held, left_out = properties.split_protected(options.conf)
    options.conf = {}
    for key, value in held.items():
        kept = kept_here(key, value)
        if kept is not None:
            options.conf[key] = kept
        if kept != value and "python" not in key:
            say(f"{key}: only EMR's instances have {value}")
    for option, entries in options.files.items():
        for entry in entries:
            if is_only_there(entry):
                say(f"{option}: only EMR's instances have {entry}")
        options.files[option] = [entry for entry in entries if not is_only_there(entry)]
    for key in left_out:
        # YARN is what every job names; nobody needs to hear of that.
        if key not in ("spark.master", "spark.submit.deployMode"):
            say(f"{key}: left out, as it would lead out of the session")
    # A class path of the job's comes after the session's, not in its place.
    joined = properties.merged(defaults, options.conf)
    options.conf = {key: joined[key] for key in options.conf}


def _variables(options: SubmitOptions, defaults: dict[str, str], *, is_cluster: bool) -> dict[str, str]:
    asked = options.conf_with_prefix("spark.yarn.appMasterEnv.", defaults) if is_cluster else {}
    asked |= options.conf_with_prefix("spark.executorEnv.", defaults)
    held, left_out = asked_variables.split(asked)
    for name in left_out:
        say(f"{name}: left out, as it is the session's or the machine's")
    return held


def _fetch(context: CommandContext, options: SubmitOptions, staging: Path, working: Path) -> None:
    """Have all files of a job on the disk, by their names where YARN puts them."""
    options.use_packages(lambda settings: packages.resolve(context, settings), context.spark.properties)
    if options.primary and is_remote(options.primary):
        options.primary = str(download(options.primary, staging))
    for option in ("--py-files", "--jars", "--files", "--archives"):
        options.localize(option, staging)
    for option in ("--files", "--archives"):
        options.link(option, working)


def _become(
    context: CommandContext, options: SubmitOptions, working: Path, variables: dict[str, str]
) -> NoReturn:
    environ = os.environ | spark_variables(context) | variables
    command = spark_command(
        context, options.for_spark(), options.jvm_settings(context.spark.properties), environ
    )
    os.chdir(working)
    os.execve(command[0], command, environ)


def _stand_for(ahead: JvmAhead, options: SubmitOptions) -> NoReturn:
    """Have a job run in a JVM that waits, and be to others what that is: to signals, and by the way it ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: ahead.process.send_signal(received))
    returncode = ahead.hand_over(options).wait()
    if returncode < 0:
        if returncode != -signal.SIGKILL:
            signal.signal(-returncode, signal.SIG_DFL)
        os.kill(os.getpid(), -returncode)
    sys.exit(returncode)


def _run_in_container(
    context: CommandContext,
    options: SubmitOptions,
    container: Container,
    variables: dict[str, str],
    ahead: JvmAhead | None,
) -> int:
    container.report("ACCEPTED")
    if ahead is not None:
        container.report("RUNNING")
        return container.finish(ahead.hand_over(options).wait())
    environ = os.environ | spark_variables(context) | container.variables() | variables
    command = spark_command(
        context, options.for_spark(), options.jvm_settings(context.spark.properties), environ
    )
    with container.open_logs() as (stdout, stderr):
        container.show_logs()
        driver = subprocess.Popen(command, cwd=container.directory, env=environ, stdout=stdout, stderr=stderr)
        container.report("RUNNING")
        returncode = driver.wait()
    return container.finish(returncode)


if __name__ == "__main__":
    main()
