"""A cluster's Configurations, as settings of its Spark and Hadoop and as variables of its commands.

The classifications are those of the EMR Release Guide, "Configure applications".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_isolated_emr.emr import asked_variables
from pytest_isolated_emr.emr.instance_values import kept_here
from pytest_isolated_emr.spark import properties

#: Hadoop's files, whose settings all reach Spark as ``spark.hadoop.…``.
_HADOOP_SITES = (
    "core-site",
    "hdfs-site",
    "mapred-site",
    "yarn-site",
    "emrfs-site",
    "hive-site",
    "spark-hive-site",
)
#: Its nested classification ``export`` has variables for what is started.
_ENV_FILES = ("spark-env", "hadoop-env", "yarn-env", "hive-env")
#: Spark's since emr-6.8; ``spark-log4j`` before it was for another library, in words that this one does not know.
_LOG4J2 = "spark-log4j2"
#: Lines of Log4j 1 in it, ``log4j.rootCategory`` for example: Log4j 2 passes over them in old versions, and fails in new ones.
_LOG4J_1_PREFIX = "log4j."
#: Spark's root logger and its appender, which lines such as ``appender.console.layout.pattern`` speak of: a file with such
#: a line alone is none to Log4j, also where it is laid over a whole one.
_LOG4J2_CONSOLE = {
    "rootLogger.level": "info",
    "rootLogger.appenderRef.stdout.ref": "console",
    "appender.console.type": "Console",
    "appender.console.name": "console",
    "appender.console.target": "SYSTEM_ERR",
    "appender.console.layout.type": "PatternLayout",
    "appender.console.layout.pattern": "%d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex",
}


@dataclass
class AppliedConfigurations:
    """What a request's Configurations come to.

    :param spark: settings of Spark, Hadoop's among them.
    :param variables: of the commands' environment.
    :param log4j2: lines of a ``log4j2.properties``, to be laid over Spark's own.
    :param left_out: settings that would lead out of the session.
    :param without_effect: settings and classifications of what is not here.
    """

    spark: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    log4j2: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    without_effect: list[str] = field(default_factory=list)


def apply(configurations: Sequence[dict[str, Any]]) -> AppliedConfigurations:
    """Sort settings by what they are for.

    :param configurations: RunJobFlow's ``Configurations``.
    """
    applied = AppliedConfigurations()
    for configuration in configurations:
        name = configuration.get("Classification", "")
        values = {key: str(value) for key, value in (configuration.get("Properties") or {}).items()}
        if name == "spark-defaults":
            _add(applied, values)
        elif name == "spark":
            # maximizeResourceAllocation sizes executors by the instances' memory: there are none here.
            pass
        elif name in _HADOOP_SITES:
            _add(applied, {f"spark.hadoop.{key}": value for key, value in values.items()})
        elif name in _ENV_FILES:
            for nested in configuration.get("Configurations") or []:
                applied.variables |= {k: str(v) for k, v in (nested.get("Properties") or {}).items()}
        elif name == _LOG4J2:
            of_log4j_1 = [key for key in values if key.startswith(_LOG4J_1_PREFIX)]
            applied.without_effect += of_log4j_1
            applied.log4j2 |= {key: value for key, value in values.items() if key not in of_log4j_1}
        else:
            applied.without_effect.append(name)
    applied.variables, left_out = asked_variables.split(applied.variables)
    applied.left_out += left_out
    return applied


def write_log4j2(path: Path, lines: dict[str, str]) -> None:
    """Write a ``log4j2.properties``.

    :param path: the file.
    :param lines: its settings.
    """
    whole = _LOG4J2_CONSOLE | lines
    path.write_text("".join(f"{key} = {value}\n" for key, value in whole.items()), encoding="utf-8")


def _add(applied: AppliedConfigurations, settings: dict[str, str]) -> None:
    held, left_out = properties.split_protected(settings)
    for key, value in held.items():
        kept = kept_here(key, value)
        if kept is not None:
            applied.spark[key] = kept
        if kept != value:
            applied.without_effect.append(key if kept is None else f"{key} in part")
    applied.left_out += left_out
