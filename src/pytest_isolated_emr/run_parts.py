"""What an isolated run is made of, by where its Spark and its EMR are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from pytest_isolated_emr.emr import releases
from pytest_isolated_emr.kept_logs import KeptLogs
from pytest_isolated_emr.run_context import RunContext
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.wiring import SparkWiring
from pytest_isolated_emr.spark_here import SparkHere
from pytest_isolated_emr.spark_of_run import SparkOfRun
from pytest_isolated_emr.tests_clusters import TestsClusters


@dataclass(frozen=True)
class RunParts:
    """What is known before there is a session, and what makes the rest.

    :param spark_version: that of the installed pyspark.
    :param make: makes a run's Spark and its clusters.
    """

    spark_version: str
    make: Callable[[RunContext, KeptLogs], tuple[SparkOfRun, TestsClusters]]


def parts_of(settings: Settings) -> RunParts:
    """Return the parts of a run.

    :param settings: what was asked for.
    :raises IsolatedEmrError: this machine cannot run it.
    """
    return _parts_here(settings)


def _parts_here(settings: Settings) -> RunParts:
    wiring = SparkWiring(settings, dict(os.environ))
    version = wiring.installation.version
    release = releases.of(settings.release, version)

    def make(context: RunContext, kept_logs: KeptLogs) -> tuple[SparkOfRun, TestsClusters]:
        return SparkHere(context, wiring, release), TestsClusters(context.session, release.label, kept_logs)

    return RunParts(version, make)
