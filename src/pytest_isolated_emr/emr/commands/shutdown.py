"""``shutdown``, ``poweroff``, ``halt`` and ``reboot`` in a cluster: the cluster ends, and never the machine.

On EMR the primary instance's end is the cluster's.
"""

from __future__ import annotations

import os
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pytest_isolated_emr.emr.commands.context import say


def main() -> None:
    """End the cluster that this process runs in."""
    arguments = sys.argv[1:]
    if "-c" in arguments:
        say("shutdown: there is none to cancel")
        return
    cluster = os.environ.get("EMR_CLUSTER_ID")
    if not cluster:
        sys.exit("isolated-emr: this program works only in a step or a bootstrap action of a cluster")
    say(f"the cluster {cluster} ends at once; the machine that runs the tests goes on")
    try:
        boto3.client("emr").terminate_job_flows(JobFlowIds=[cluster])
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"isolated-emr: shutdown: {error}")


if __name__ == "__main__":
    main()
