"""Classes that a thread of the JVM loads ahead of the others, where there is no archive of them.

Loading classes is a third of what Spark's main thread does until the first test has ended, while a second core is idle.
The lists beside this file name the classes that a test run needs first, in their order; a class that another version of
Spark does not have is passed over. ``make class-lists`` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.spark.installation import SparkInstallation

#: The class that loads them, and then is what the JVM was started for.
MAIN_CLASS = "isolatedemr.PreloadedMain"
_OPTION = "-Disolatedemr.preload="


def list_for(spark_version: str) -> Path:
    """Return the list of classes for a version of Spark.

    :param spark_version: such as ``4.0.1``.
    """
    return Path(__file__).parent / f"spark-{spark_version.partition('.')[0]}.txt"


def options(installation: SparkInstallation, settings: Mapping[str, str]) -> list[str]:
    """Return the Java option by which :func:`preloaded` knows a JVM that loads classes ahead.

    :param installation: the Spark.
    :param settings: all settings of the JVM, the jars that the class is in among them.
    """
    names = list_for(installation.version)
    # With one core the other thread would only be in the way.
    return [f"{_OPTION}{names}"] if settings.get("spark.master") != "local[1]" and names.is_file() else []


def preloaded(command: Sequence[str], main_class: str) -> list[str]:
    """Return a JVM's command with our main class before its own, if it is to load classes ahead.

    :param command: the command.
    :param main_class: its main class.
    """
    if not any(argument.startswith(_OPTION) for argument in command):
        return list(command)
    place = command.index(main_class)
    return [*command[:place], MAIN_CLASS, *command[place:]]
