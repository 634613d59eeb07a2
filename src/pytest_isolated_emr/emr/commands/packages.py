"""Packages of a job: resolved through the cache of jars, as those of the tests' own process are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_isolated_emr.emr.commands.context import CommandContext, say
from pytest_isolated_emr.errors import IsolatedEmrError

_IN_CONTAINER = (
    "in a container there are the packages that the cache of jars has: let the tests' own Spark ask for the same by "
    "spark.jars.packages, and they are fetched before"
)


def resolve(context: CommandContext, settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings with jars in the place of ``spark.jars.packages``; the program ends if they cannot be had.

    :param context: the cluster.
    :param settings: all settings of the job.
    """
    # Most jobs have no packages.
    from pytest_isolated_emr.spark.installation import spark_at
    from pytest_isolated_emr.spark.java import find_java
    from pytest_isolated_emr.spark.packages import with_packages

    spark = context.spark
    try:
        return with_packages(
            settings,
            spark_at(Path(spark.home)),
            find_java({"JAVA_HOME": spark.java_home}),
            Path(spark.jar_cache),
            repositories=spark.repositories,
            progress=say,
        )
    except IsolatedEmrError as error:
        if spark.image:
            say(_IN_CONTAINER)
        sys.exit(f"isolated-emr: {error}")
