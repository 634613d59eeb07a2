"""A cluster's Configurations, as settings of its Spark and Hadoop and as variables of its commands.

The classifications are those of the EMR Release Guide, "Configure applications".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
_LOG4J = ("spark-log4j2", "spark-log4j")
#: Lines of Log4j 1, ``log4j.rootCategory`` for example. Log4j 2 passes over them in old versions, and fails in new ones.
_LOG4J_1_PREFIX = "log4j."
#: Interpreters as they are on EMR's instances; here it is the session's own.
_EMR_PYTHON = re.compile(r"(/usr/bin/)?python(3(\.\d+)?)?")


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
        elif name in _LOG4J:
            for key, value in values.items():
                if key.startswith(_LOG4J_1_PREFIX):
                    applied.without_effect.append(key)
                else:
                    applied.log4j2[key] = value
        else:
            applied.without_effect.append(name)
    for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
        if is_emr_python(applied.variables.get(name, "")):
            del applied.variables[name]
    # Where Java and Spark are is the machine's matter.
    for name in ("JAVA_HOME", "SPARK_HOME", "HADOOP_HOME", "SPARK_CONF_DIR", "HADOOP_CONF_DIR", "PATH"):
        if applied.variables.pop(name, None) is not None:
            applied.left_out.append(name)
    return applied


def is_emr_python(path: str) -> bool:
    """Tell whether an interpreter's path is one of EMR's instances, which the session's own stands for.

    :param path: such as ``/usr/bin/python3``.
    """
    return bool(_EMR_PYTHON.fullmatch(path))


def write_log4j2(path: Path, lines: dict[str, str]) -> None:
    """Write a ``log4j2.properties``.

    :param path: the file.
    :param lines: its settings.
    """
    path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()), encoding="utf-8")


def _add(applied: AppliedConfigurations, settings: dict[str, str]) -> None:
    held, left_out = properties.split_protected(settings)
    for key, value in held.items():
        if _is_of_the_instances(key, value):
            applied.without_effect.append(key)
        else:
            applied.spark[key] = value
    applied.left_out += left_out


def _is_of_the_instances(key: str, value: str) -> bool:
    """Tell whether a setting speaks of files that only EMR's instances have, such as ``/usr/lib/hadoop-lzo/…``."""
    python = key in ("spark.pyspark.python", "spark.pyspark.driver.python") and is_emr_python(value)
    return (
        python or "/usr/lib/" in value or "/usr/share/aws/" in value or "com.hadoop.compression.lzo" in value
    )
