"""What an isolated run is made of, by where its Spark and its EMR are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_isolated_emr.clusters_here import ClustersHere
from pytest_isolated_emr.emr import releases
from pytest_isolated_emr.kept_logs import KeptLogs
from pytest_isolated_emr.run_context import RunContext
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.installation import find_spark
from pytest_isolated_emr.spark.wiring import SparkWiring
from pytest_isolated_emr.spark_here import SparkHere
from pytest_isolated_emr.spark_of_run import SparkOfRun
from pytest_isolated_emr.tests_clusters import ClustersPlace

if TYPE_CHECKING:
    from pytest_isolated_emr.emr_settings import EmrSettings


@dataclass(frozen=True)
class RunParts:
    """One process's part of a run.

    :param spark: its Spark.
    :param clusters: where its clusters are.
    :param keep_logs: copies all logs to where they outlive the session, and returns lines for the summary.
    """

    spark: SparkOfRun
    clusters: ClustersPlace
    keep_logs: Callable[[], list[str]]


@dataclass(frozen=True)
class RunMaker:
    """What is known before there is a session, and makes the rest.

    :param spark_version: that of the installed pyspark.
    :param make: makes the parts.
    :param key_of_spare: returns by what the run finds a spare, and leaves one; empty for none.
    """

    spark_version: str
    make: Callable[[RunContext, KeptLogs], RunParts]
    key_of_spare: Callable[[pytest.Config], str] = lambda _config: ""


def maker_of(settings: Settings) -> RunMaker:
    """Return what makes a run.

    :param settings: what was asked for.
    :raises IsolatedEmrError: this machine cannot run it.
    """
    if settings.emr is not None:
        version = find_spark(dict(os.environ)).version
        return RunMaker(version, partial(_on_aws, settings.emr, version))
    wiring = SparkWiring(settings, dict(os.environ))
    return RunMaker(wiring.installation.version, partial(_here, wiring), wiring.key_of_spare)


def _here(wiring: SparkWiring, context: RunContext, kept_logs: KeptLogs) -> RunParts:
    release = releases.of(context.settings.release, wiring.installation.version)
    return RunParts(
        SparkHere(context, wiring, release),
        ClustersHere(context.session, release.label, kept_logs),
        kept_logs.keep,
    )


def _on_aws(settings: EmrSettings, spark_version: str, context: RunContext, kept_logs: KeptLogs) -> RunParts:
    # Most runs are local ones, and have no use for these.
    from pytest_isolated_emr.asked_cluster import asked_cluster
    from pytest_isolated_emr.backends.emr.pace import Pace
    from pytest_isolated_emr.clusters_on_aws import ClustersOnAws
    from pytest_isolated_emr.kept_logs_on_aws import KeptLogsOnAws
    from pytest_isolated_emr.spark_on_emr import SparkOnEmr

    session = context.session
    release = releases.of(context.settings.release, spark_version)
    on_aws = KeptLogsOnAws(session.run_id, session.directory, session.place, context.settings.retention)

    @cache
    def request() -> dict[str, Any]:
        return asked_cluster(context.config, settings, release.label)

    @cache
    def start_cluster() -> None:
        session.client.request("start_cluster", request=request())

    def keep_logs() -> list[str]:
        # All of a cluster's logs are on S3 when it has ended.
        while waits_for := session.client.request("end_clusters")["waits_for"]:
            context.show_wait(waits_for)
        return [*kept_logs.keep(), *on_aws.keep(session.client_of("emr"), session.scratch_client())]

    spark = SparkOnEmr(context, settings, release, spark_version, start_cluster)
    clusters = ClustersOnAws(
        session,
        request,
        start_cluster,
        context.wait_for_backend,
        kept_logs=on_aws,
        pace=Pace.of_environment(),
        say=context.show_wait,
    )
    return RunParts(spark, clusters, keep_logs)
