"""``spark-connect-session DIRECTORY``: becomes the Spark Connect server of a session. EMR starts it, nobody else."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_isolated_emr.emr.commands.context import CommandContext, say
from pytest_isolated_emr.emr.commands.jvm import spark_command, spark_variables
from pytest_isolated_emr.errors import IsolatedEmrError
from pytest_isolated_emr.spark import connect, properties
from pytest_isolated_emr.spark.installation import find_spark
from pytest_isolated_emr.spark.java import require_java

_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"
#: The user's own are joined with ours, as both are wanted.
_LISTS = ("spark.connect.grpc.interceptor.classes", "spark.jars")


def main() -> None:
    """Serve; does not return."""
    context = CommandContext.of_this_process()
    directory = Path(sys.argv[1])
    session = json.loads((directory / "session.json").read_text(encoding="utf-8"))
    for note in session["notes"]:
        say(note)
    environ = os.environ | spark_variables(context) | {connect.DIRECTORY_VARIABLE: str(directory)}
    try:
        settings = _settings(context, session["settings"], environ)
    except IsolatedEmrError as error:
        sys.exit(str(error))
    # Not on the command line: there may be secrets among them.
    file = directory / "spark.conf"
    properties.write(file, settings)
    arguments = ["--properties-file", str(file), "--class", _CLASS, "spark-internal"]
    command = spark_command(context, arguments, settings, environ)
    os.execve(command[0], command, environ)


def _settings(
    context: CommandContext, asked: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return all settings of a session's Spark.

    :param context: the cluster.
    :param asked: those of the session.
    :param environ: where Spark and Java are.
    :raises IsolatedEmrError: its jars cannot be had.
    """
    installation = find_spark(environ)
    jars = connect.connect_jars(
        installation,
        require_java(installation.version, environ),
        Path(context.spark.jar_cache),
        repositories=context.spark.repositories,
        progress=say,
    )
    settings = properties.merged(context.spark.properties, asked)
    ours = {**connect.SETTINGS, "spark.jars": ",".join(map(str, jars))}
    for key in _LISTS:
        ours[key] = ",".join(filter(None, [ours[key], settings.get(key, "")]))
    return settings | ours


if __name__ == "__main__":
    main()
