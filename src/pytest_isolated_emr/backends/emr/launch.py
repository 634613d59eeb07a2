"""Launching a cluster once: RunJobFlow knows no token by which a request that is sent again would be the same one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import cures
from pytest_isolated_emr.backends.emr.account import aws_errors, is_without_effect
from pytest_isolated_emr.backends.emr.pace import Pace


def launch(emr: Any, request: dict[str, Any], pace: Pace, wait: Callable[[float], None] = time.sleep) -> str:
    """Launch a cluster, and return its id. Where the answer is lost, the cluster is looked for by its name.

    :param emr: a client that sends a request once and not again by itself.
    :param request: RunJobFlow's, of a name that no other cluster has.
    :param pace: how often to ask, and how long ListClusters may not know of a cluster.
    :param wait: waits for so many seconds.
    :raises ClusterRefused: AWS does not take it.
    :raises LaunchUncertain: the answer is lost, and there is no such cluster, or none yet.
    :raises IsolatedEmrError: AWS cannot be asked.
    """
    return ask(emr, request, pace, wait, patience=pace.settle) or _lost(emr, request["Name"], pace, wait)


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


def _lost(emr: Any, name: str, pace: Pace, wait: Callable[[float], None]) -> str:
    waited, pause = 0.0, pace.poll
    said = ""
    # It was made just now, whatever time it is here.
    since = datetime.now(timezone.utc) - timedelta(days=1)
    while True:
        try:
            with aws_errors("looking for the cluster by its name (elasticmapreduce:ListClusters)"):
                pages = emr.get_paginator("list_clusters").paginate(CreatedAfter=since)
                found = [
                    str(each["Id"]) for page in pages for each in page["Clusters"] if each["Name"] == name
                ]
        except errors.AwsUnreachable as again:
            found, said = [], f"; {again.checked}"
        if found:
            return found[0]
        if waited >= pace.settle:
            raise errors.LaunchUncertain(
                "The answer to RunJobFlow was lost.",
                checked=f"ListClusters knows no cluster {name!r} after {waited:.0f} seconds{said}",
                cure="Should it come up late, the session's end or `isolated-emr sweep --scratch` ends it.",
            )
        wait(pause)
        waited += pause
        pause = pace.longer(pause)
