"""Answers that wait for an end: what our own fixtures ask for, so that nobody has to look again and again."""

from __future__ import annotations

from typing import Any

from pytest_isolated_emr.emr import clusters
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.wait_header import WAIT_HEADER

__all__ = ["WAIT_HEADER", "wait"]

_SETTLED = (clusters.WAITING, clusters.TERMINATED, clusters.TERMINATED_WITH_ERRORS)


def wait(backend: EmrBackend, request: dict[str, Any], seconds: float) -> None:
    """Wait until a step has ended or, where none is named, until a cluster is ready or has ended.

    :param backend: the account's and region's EMR.
    :param request: DescribeStep's or DescribeCluster's.
    :param seconds: the most to wait.
    """
    cluster = backend.find_cluster(request["ClusterId"])
    if "StepId" in request:
        step = backend.find_step(cluster.id, request["StepId"])
        cluster.wait_for(lambda: not step.is_active, seconds)
    else:
        cluster.wait_for(lambda: cluster.state in _SETTLED, seconds)
