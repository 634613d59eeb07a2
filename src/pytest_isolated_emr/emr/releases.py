"""EMR's releases: what each is made of, as far as its page in the EMR Release Guide tells (``releases.json``).

https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-release-components.html. It is loaded in every isolated run, and so
imports nothing large.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: The first ``emr-spark-…`` release that has Spark Connect sessions:
#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-spark-connect-sessions.html
FIRST_WITH_SESSIONS = 8


@dataclass(frozen=True)
class Release:
    """One release.

    :param label: such as ``emr-7.10.0``.
    :param python: versions of its interpreters, that of PySpark first.
    :param java: the Java that Spark runs with.
    :param applications: versions by the applications' names.
    """

    label: str
    python: tuple[str, ...]
    java: int
    applications: Mapping[str, str]

    @property
    def spark(self) -> str:
        """Spark's version as its project counts, without Amazon's suffix."""
        return upstream(self.applications["Spark"])

    @property
    def hadoop(self) -> str | None:
        """Hadoop's version as its project counts; None where the release's page names none."""
        version = self.applications.get("Hadoop")
        return upstream(version) if version else None

    def runs(self, spark_version: str) -> bool:
        """Tell whether a Spark is of the release's minor version.

        :param spark_version: such as ``3.5.9``.
        """
        return minor(self.spark) == minor(spark_version)


@cache
def known() -> dict[str, Release]:
    """Return the releases that there are details of, by their labels, the oldest first."""
    table = json.loads(Path(__file__).with_name("releases.json").read_text(encoding="utf-8"))
    return {
        label: Release(label, tuple(row["python"]), row["java"], row["applications"])
        for label, row in table.items()
    }


def of(label: str | None, spark_version: str) -> Release:
    """Return the release that was asked for, or the one that fits a Spark best.

    :param label: such as ``emr-7.10.0``, one that there are details of.
    :param spark_version: such as ``3.5.9``.
    """
    return known()[label] if label else default_for(spark_version)


def default_for(spark_version: str) -> Release:
    """Return the newest release with a Spark's minor version, else with its major one.

    :param spark_version: such as ``3.5.9``.
    """
    newest_first = list(reversed(known().values()))
    major = spark_version.partition(".")[0]
    same_minor = [release for release in newest_first if release.runs(spark_version)]
    same_major = [release for release in newest_first if release.spark.startswith(f"{major}.")]
    return [*same_minor, *same_major, *newest_first][0]


def has_sessions(label: str | None) -> bool:
    """Tell whether a release has Spark Connect sessions.

    :param label: such as ``emr-spark-8.0.0``; one that there are no details of, too.
    """
    found = re.fullmatch(r"emr-spark-(\d+)\..*", label or "")
    return found is not None and int(found[1]) >= FIRST_WITH_SESSIONS


def upstream(version: str) -> str:
    """Return an application's version as its own project counts.

    :param version: such as ``3.5.5-amzn-1``.
    """
    return version.partition("-amzn-")[0]


def minor(version: str) -> str:
    """Return the first two numbers of a version.

    :param version: such as ``3.5.5-amzn-1``.
    """
    found = re.match(r"\d+\.\d+", version)
    return found[0] if found else version
