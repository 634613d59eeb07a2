"""``spark-connect-session DIRECTORY``: becomes the Spark Connect server of a session. EMR starts it, nobody else."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_isolated_emr.emr.commands.context import CommandContext, say
from pytest_isolated_emr.emr.commands.jvm import spark_command, spark_variables
from pytest_isolated_emr.errors import IsolatedEmrError, NoSessionPort
from pytest_isolated_emr.spark import connect, properties
from pytest_isolated_emr.spark.installation import spark_at
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
        settings = _settings(context, session["settings"])
    except IsolatedEmrError as error:
        sys.exit(str(error))
    # Not on the command line: there may be secrets among them.
    file = directory / "spark.conf"
    properties.write(file, settings)
    arguments = ["--properties-file", str(file), "--class", _CLASS, "spark-internal"]
    command = spark_command(context, arguments, settings, environ)
    os.execve(command[0], command, environ)


def _settings(context: CommandContext, asked: Mapping[str, str]) -> dict[str, str]:
    """Return all settings of a session's Spark.

    :param context: the cluster.
    :param asked: those of the session.
    :raises IsolatedEmrError: its jars cannot be had.
    """
    spark = context.spark
    installation = spark_at(Path(spark.home))
    jars = connect.connect_jars(
        installation,
        require_java(installation.version, {"JAVA_HOME": spark.java_home}),
        Path(spark.jar_cache),
        repositories=spark.repositories,
        progress=say,
    )
    settings = properties.merged(spark.properties, asked)
    ours = {**connect.SETTINGS, "spark.jars": ",".join(map(str, jars))}
    for key in _LISTS:
        ours[key] = ",".join(filter(None, [ours[key], settings.get(key, "")]))
    return settings | ours | _port(context)


def _port(context: CommandContext) -> dict[str, str]:
    """Return the settings by which a server listens on a port of its own, where only some can be reached.

    The lock on a port's file is this process's, which becomes the server: it is free when that has ended.
    """
    directory = context.directory / "sessions"
    for port in context.spark.connect_ports:
        held = os.open(directory / f"{port}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            continue
        os.set_inheritable(held, True)
        return {"spark.connect.grpc.binding.address": "0.0.0.0", "spark.connect.grpc.binding.port": str(port)}
    if context.spark.connect_ports:
        raise NoSessionPort(
            f"The cluster has {len(context.spark.connect_ports)} sessions already, and no port for another one.",
            checked=f"the ports {context.spark.connect_ports} of its container, which are published when it is made",
            cure="Terminate a session first, or start it on another cluster.",
        )
    return {}


if __name__ == "__main__":
    main()
