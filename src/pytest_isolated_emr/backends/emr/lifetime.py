"""The timer on the cluster's primary instance that ends the cluster, whatever became of who started it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: The name of the bootstrap action, by which a cluster's description tells that it has one.
NAME = "isolated-emr lifetime"
#: What the script is called below a run's prefix.
KEY = "code/lifetime.sh"

#: A termination takes up to five minutes
#: (https://docs.aws.amazon.com/emr/latest/APIReference/API_TerminateJobFlows.html).
_GRACE_SECONDS = 600


def script() -> str:
    """Return the script's text, to be put where the cluster finds it before it is started."""
    return Path(__file__).with_name("lifetime.sh").read_text(encoding="utf-8")


def bootstrap_action(script_uri: str, seconds: int, *, grace_seconds: int = _GRACE_SECONDS) -> dict[str, Any]:
    """Return the bootstrap action as RunJobFlow takes it. It comes first, so that no other one's time is left out.

    https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-bootstrap.html

    :param script_uri: where the script is, as ``s3://bucket/key``.
    :param seconds: from the bootstrap action to the end.
    :param grace_seconds: from there to the shutdown of the instance, should its role not be allowed to terminate.
    """
    if seconds < 1:
        raise ValueError(f"a lifetime of {seconds} seconds")
    return {
        "Name": NAME,
        "ScriptBootstrapAction": {"Path": script_uri, "Args": [str(seconds), str(grace_seconds)]},
    }
