"""Ending a cluster for good: AWS takes the order at once and carries it out in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account, aws_errors
from pytest_isolated_emr.backends.emr.pace import Pace

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_ClusterStatus.html
ENDED = frozenset({"TERMINATED", "TERMINATED_WITH_ERRORS"})


def terminate(
    account: Account, cluster: dict[str, Any], pace: Pace, wait: Callable[[float], None] = time.sleep
) -> None:
    """Terminate a cluster and wait until it has ended.

    :param account: whose it is.
    :param cluster: as DescribeCluster has it.
    :param pace: how often to look, and for how long.
    :param wait: waits for so many seconds.
    :raises AwsUnreachable: it has not ended in the time that it may take.
    :raises IsolatedEmrError: AWS refused it, or did not answer.
    """
    emr = account.client("emr")
    cluster_id = str(cluster["Id"])
    if cluster.get("TerminationProtected"):
        with aws_errors(
            f"taking termination protection from {cluster_id} (elasticmapreduce:SetTerminationProtection)"
        ):
            emr.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=False)
    with aws_errors(f"terminating {cluster_id} (elasticmapreduce:TerminateJobFlows)"):
        emr.terminate_job_flows(JobFlowIds=[cluster_id])
    waited, pause = 0.0, pace.poll
    while True:
        with aws_errors(f"asking for the state of {cluster_id} (elasticmapreduce:DescribeCluster)"):
            state = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"]
        if state in ENDED:
            return
        if waited >= pace.end:
            raise errors.AwsUnreachable(
                f"Cluster {cluster_id} has not ended.",
                checked=f"it is {state}, {waited:.0f} seconds after TerminateJobFlows",
                cure="Look at it in the console, and run `isolated-emr sweep` again.",
            )
        wait(pause)
        waited += pause
        pause = min(pause * 2, pace.longest_poll)
