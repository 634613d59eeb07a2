"""Ending a cluster for good: AWS takes the order at once and carries it out in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account, aws_errors, code_of
from pytest_isolated_emr.backends.emr.pace import Pace

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_ClusterStatus.html
ENDED = frozenset({"TERMINATED", "TERMINATED_WITH_ERRORS"})
_ENDING = "TERMINATING"


def terminate(
    account: Account,
    cluster: dict[str, Any],
    pace: Pace,
    *,
    say: Callable[[str], None] = lambda text: None,
    wait: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Terminate a cluster and wait until it has ended.

    An order whose answer got lost is given again, if the cluster's state does not say that it was heard.

    :param account: whose it is.
    :param cluster: as DescribeCluster has it.
    :param pace: how often to look, and for how long.
    :param say: is told the state.
    :param wait: waits for so many seconds.
    :returns: the cluster as it is then.
    :raises AwsUnreachable: it has not ended in the time that it may take, or AWS did not answer for that long.
    :raises IsolatedEmrError: AWS refused it.
    """
    cluster_id, state = str(cluster["Id"]), str(cluster["Status"]["State"])
    began, pause = time.monotonic(), pace.poll
    while state not in ENDED:
        waited, silence = time.monotonic() - began, ""
        try:
            if state != _ENDING:
                _order(account, cluster)
            cluster = describe(account, cluster_id)
            state = str(cluster["Status"]["State"])
        except errors.AwsUnreachable as error:
            silence = f"; {error.checked}"
        except errors.AwsRefused as error:
            # AWS may not know yet of one that was made just now.
            if not is_unknown(error) or waited >= pace.settle:
                raise
            silence = f"; {error.checked}"
        if state in ENDED:
            break
        say(f"cluster {cluster_id} is {state}, {waited:.0f} s after the order to terminate{silence}")
        if waited >= pace.end:
            raise errors.AwsUnreachable(
                f"Cluster {cluster_id} has not ended.",
                checked=f"it is {state}, {waited:.0f} seconds after TerminateJobFlows{silence}",
                cure="Look at it in the console, and run `isolated-emr sweep` again.",
            )
        wait(pause)
        pause = pace.longer(pause)
    return cluster


def is_unknown(error: errors.AwsRefused) -> bool:
    """Tell whether AWS says that it knows of no such cluster.

    :param error: of a call for one.
    """
    cause = error.__cause__
    return isinstance(cause, ClientError) and code_of(cause) in (
        "InvalidRequestException",
        "ValidationException",
    )


def describe(account: Account, cluster_id: str) -> dict[str, Any]:
    """Return a cluster as DescribeCluster has it.

    :param account: whose it is.
    :param cluster_id: its id.
    :raises IsolatedEmrError: AWS refused it, or did not answer.
    """
    with aws_errors(f"looking at cluster {cluster_id} (elasticmapreduce:DescribeCluster)"):
        found: dict[str, Any] = account.client("emr").describe_cluster(ClusterId=cluster_id)["Cluster"]
    return found


def _order(account: Account, cluster: dict[str, Any]) -> None:
    emr, cluster_id = account.client("emr"), str(cluster["Id"])
    if cluster.get("TerminationProtected"):
        with aws_errors(
            f"taking termination protection from {cluster_id} (elasticmapreduce:SetTerminationProtection)"
        ):
            emr.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=False)
    with aws_errors(f"terminating {cluster_id} (elasticmapreduce:TerminateJobFlows)"):
        emr.terminate_job_flows(JobFlowIds=[cluster_id])
