"""The Spark that is installed, found without importing pyspark, which takes a second."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_isolated_emr.errors import PysparkNotFound, UnsupportedSpark

OLDEST = (3, 5)
TOO_NEW = (5, 0)

_CURE = (
    "`pip install 'pytest-isolated-emr[spark]'`, or install the pyspark of your EMR release: "
    "3.5.x for emr-7, 4.x for emr-spark-8."
)


@dataclass(frozen=True)
class SparkInstallation:
    """A Spark on this machine.

    :param home: what ``SPARK_HOME`` is, or would be.
    :param version: Spark's version.
    :param hadoop_version: that of the Hadoop it was built with, which decides on the S3 jars.
    :param jars_dir: the directory with Spark's own jars.
    """

    home: Path
    version: str
    hadoop_version: str
    jars_dir: Path

    @property
    def major(self) -> int:
        """3 or 4."""
        return _numbers(self.version)[0]


def find_spark(environ: Mapping[str, str] | None = None) -> SparkInstallation:
    """Return the Spark of ``SPARK_HOME``, else the one inside the installed pyspark, as pyspark chooses it.

    :param environ: the environment to look in, ``os.environ`` by default.
    :raises PysparkNotFound: there is no pyspark, or ``SPARK_HOME`` has no Spark.
    :raises UnsupportedSpark: it is older than 3.5, or 5 and newer.
    """
    environ = os.environ if environ is None else environ
    package = _pyspark_directory()
    if not environ.get("SPARK_HOME"):
        return spark_at(package, or_version=_pyspark_version(package))
    return spark_at(
        Path(environ["SPARK_HOME"]), or_version=_pyspark_version(package), named_by=" (SPARK_HOME is set)"
    )


def spark_at(
    home: Path, *, or_version: str = "of an unknown version", named_by: str = ""
) -> SparkInstallation:
    """Return the Spark of a directory.

    :param home: the directory.
    :param or_version: its version where no jar says so.
    :param named_by: for the error, who names the directory.
    :raises PysparkNotFound: there is no Spark.
    :raises UnsupportedSpark: it is older than 3.5, or 5 and newer.
    """
    jars_dir = home / "jars"
    version = _version_of_jar(jars_dir, "spark-core_*") or or_version
    if not _supported(version):
        raise UnsupportedSpark(
            f"Spark {version} is not supported: it has to be 3.5 or 4.",
            checked=f"the version of the Spark in {home}",
            cure=_CURE,
        )
    hadoop_version = _version_of_jar(jars_dir, "hadoop-client-api")
    if hadoop_version is None:
        raise PysparkNotFound(
            "There is no whole Spark where one was expected.",
            checked=f"{jars_dir} has no hadoop-client-api jar{named_by}",
            cure=f"unset SPARK_HOME, or let it name a Spark built with Hadoop 3; {_CURE}",
        )
    return SparkInstallation(home, version, hadoop_version, jars_dir)


def _pyspark_directory() -> Path:
    spec = importlib.util.find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise PysparkNotFound(
            "pyspark is not installed for the Python that runs pytest.",
            checked="Python's import path has no package pyspark",
            cure=_CURE,
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _pyspark_version(package: Path) -> str:
    """Return the version of pyspark, which has no metadata if it is a Spark's own directory on the path."""
    try:
        return importlib.metadata.version("pyspark")
    except importlib.metadata.PackageNotFoundError:
        text = (package / "version.py").read_text(encoding="utf-8")
        found = re.search(r"__version__[^=]*=\s*[\"']([^\"']+)", text)
        return found[1] if found else "of an unknown version"


def _version_of_jar(jars_dir: Path, name: str) -> str | None:
    for jar in sorted(jars_dir.glob(f"{name}-*.jar")):
        found = re.search(r"-(\d[^/]*)\.jar$", jar.name)
        if found:
            return found[1]
    return None


def _supported(version: str) -> bool:
    return OLDEST <= _numbers(version) < TOO_NEW


def _numbers(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
