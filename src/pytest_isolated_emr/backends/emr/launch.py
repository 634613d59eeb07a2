"""Launching a cluster once: RunJobFlow knows no token by which a request that is sent again would be the same one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import cures, tags
from pytest_isolated_emr.backends.emr.account import aws_errors, is_without_effect
from pytest_isolated_emr.backends.emr.clusters_of_run import named
from pytest_isolated_emr.backends.emr.pace import Pace


def launch(emr: Any, request: dict[str, Any], pace: Pace, wait: Callable[[float], None] = time.sleep) -> str:
    """Launch a cluster, and return its id. Where the answer is lost, the cluster is looked for by its name, and its tags.

    :param emr: a client that sends a request once and not again by itself.
    :param request: RunJobFlow's, of a name of the run's that no other cluster has, and with the run's tags.
    :param pace: how often to ask, and how long ListClusters may not know of a cluster.
    :param wait: waits for so many seconds.
    :raises ClusterRefused: AWS does not take it.
    :raises LaunchUncertain: the answer is lost, and there is no such cluster, or none yet.
    :raises IsolatedEmrError: AWS cannot be asked.
    """
    return ask(emr, request, pace, wait, patience=pace.settle) or _lost(emr, request, pace, wait)


def ask(
    emr: Any, request: dict[str, Any], pace: Pace, wait: Callable[[float], None], *, patience: float
) -> str | None:
    """Ask AWS for a cluster; return its id, or None if the answer got lost, so that there may be one.

    :param emr: a client that sends a request once and not again by itself.
    :param request: RunJobFlow's.
    :param pace: how often to ask while AWS is asked too often.
    :param wait: waits for so many seconds.
    :param patience: for so long, in seconds.
    :raises ClusterRefused: AWS does not take it: there is none.
    :raises IsolatedEmrError: AWS cannot be asked: there is none.
    """
    waited, pause = 0.0, pace.poll
    while True:
        try:
            with aws_errors("launching a cluster (elasticmapreduce:RunJobFlow)"):
                return str(emr.run_job_flow(**request)["JobFlowId"])
        except errors.AwsRefused as error:
            cause = error.__cause__
            if isinstance(cause, ClientError):
                raise cures.refused(cause) from cause
            raise
        except errors.AwsUnreachable as error:
            cause = error.__cause__
            if not (isinstance(cause, BotoCoreError | ClientError) and is_without_effect(cause)):
                return None
            # Throttled: it may be sent again.
            if waited >= patience:
                raise
        wait(pause)
        waited += pause
        pause = pace.longer(pause)


def _lost(emr: Any, request: dict[str, Any], pace: Pace, wait: Callable[[float], None]) -> str:
    waited, pause = 0.0, pace.poll
    name = request["Name"]
    run_id = tags.run_id_of(name)
    assert run_id is not None
    while True:
        checked = f"ListClusters knows no cluster {name!r}"
        try:
            for each in named(emr, run_id):
                if each["Name"] == name:
                    if _has_tags_of(request, emr, str(each["Id"])):
                        return str(each["Id"])
                    checked = f"{each['Id']}: it has the name {name!r}, and not the run's tags"
        except errors.AwsUnreachable as error:
            checked += f"; {error.checked}"
        if waited >= pace.settle:
            raise errors.LaunchUncertain(
                "The answer to RunJobFlow was lost.",
                checked=f"after {waited:.0f} seconds: {checked}",
                cure="Should it come up late, the session's end or `isolated-emr sweep --scratch` ends it.",
            )
        wait(pause)
        waited += pause
        pause = pace.longer(pause)


def _has_tags_of(request: dict[str, Any], emr: Any, cluster_id: str) -> bool:
    """Tell whether a cluster's tags prove that it is the one of a request: its name may be anybody's."""
    try:
        with aws_errors(f"looking at cluster {cluster_id} (elasticmapreduce:DescribeCluster)"):
            cluster = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
    except errors.AwsRefused:
        # A test's rights are for clusters with the run's tags, which may come late.
        return False
    told, asked = tags.values_of(cluster.get("Tags") or ()), tags.values_of(request["Tags"])
    return all(told.get(key) == asked[key] for key in (tags.RUN_ID, tags.PLACE))
