"""``spark-submit`` in a cluster: Spark's own, on the session's Spark, with YARN's ways of placing files.

It becomes Spark's JVM, as the real one does: exit codes and signals are the job's own. In cluster mode it stays, as
YARN's client does, and the driver runs in a container's directory with its output in the container's logs.
"""

from __future__ import annotations

import os
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
from pytest_isolated_emr.emr.commands.s3_files import download, is_remote
from pytest_isolated_emr.emr.commands.submit_options import SubmitOptions
from pytest_isolated_emr.emr.instance_values import is_only_there, kept_here
from pytest_isolated_emr.spark import properties


def main() -> None:
    """Submit a job; does not return."""
    submit(CommandContext.of_this_process(), sys.argv[1:])


def submit(context: CommandContext, arguments: Sequence[str]) -> NoReturn:
    """Run a job with Spark.

    :param context: the cluster.
    :param arguments: as ``spark-submit`` takes them.
    """
    options = SubmitOptions.parse(arguments)
    if options.is_question:
        _become(context, options, Path.cwd(), {})
    container = Container.make(context.directory, os.environ.get("EMR_STEP_ID", ""))
    _keep_in_session(options, context.spark.properties)
    is_cluster = options.deploy_mode == "cluster"
    working = container.directory if is_cluster else Path.cwd()
    _fetch(context, options, container.directory, working)
    variables = _variables(options, context.spark.properties, is_cluster=is_cluster)
    if not is_cluster:
        _become(context, options, working, variables)
    sys.exit(_run_in_container(context, options, container, variables))


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


def _run_in_container(
    context: CommandContext, options: SubmitOptions, container: Container, variables: dict[str, str]
) -> int:
    environ = os.environ | spark_variables(context) | container.variables() | variables
    command = spark_command(
        context, options.for_spark(), options.jvm_settings(context.spark.properties), environ
    )
    container.report("ACCEPTED")
    with container.open_logs() as (stdout, stderr):
        driver = subprocess.Popen(command, cwd=container.directory, env=environ, stdout=stdout, stderr=stderr)
        container.report("RUNNING")
        returncode = driver.wait()
    return container.finish(returncode)


if __name__ == "__main__":
    main()
