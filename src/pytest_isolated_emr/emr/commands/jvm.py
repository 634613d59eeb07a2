"""Spark's JVM as a cluster's program starts it: the launcher's own command, with options for a quick start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.emr.commands.context import CommandContext
from pytest_isolated_emr.spark import launch, properties


def spark_variables(context: CommandContext) -> dict[str, str]:
    """Return the variables that Spark's scripts would set.

    :param context: the cluster.
    """
    return launch.script_variables(Path(context.spark.home))


def spark_command(
    context: CommandContext, arguments: Sequence[str], settings: Mapping[str, str], environ: Mapping[str, str]
) -> list[str]:
    """Return the command of a JVM that does what ``spark-submit`` with these arguments does.

    :param context: the cluster.
    :param arguments: of ``spark-submit``.
    :param settings: all settings that the job starts with.
    :param environ: the JVM's environment.
    """
    home = Path(context.spark.home)
    printed = subprocess.run(
        launch.launcher_command(home, environ, arguments),
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if printed.returncode != 0:
        # Its own words are on standard error already.
        sys.exit(printed.returncode)
    conf = context.directory / "conf"
    options = properties.quick_start_options(settings, environ)
    if settings.get("spark.driver.extraClassPath") == context.spark.class_path:
        options += context.spark.class_options
    if (conf / "log4j2.properties").is_file():
        # Later files are laid over earlier ones (Log4j 2's manual, "Composite Configuration").
        files = ("classpath:org/apache/spark/log4j2-defaults.properties", str(conf / "log4j2.properties"))
        options.append(f"-Dlog4j2.configurationFile={','.join(files)}")
    return launch.jvm_command(printed.stdout, conf, options)
