"""What the keeper has to know of the settings of the emr backend; the cluster itself comes with the request for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class EmrOptions:
    """A session's options.

    :param bucket: of the scratch.
    :param prefix: of the scratch in the bucket, without slashes at its ends.
    :param role_arn: the role that tests get, limited to the run; None for the user's own credentials.
    :param cluster_roles: names or ARNs of the roles that a cluster may have: EMR's own, and that of the instances.
    :param idle_minutes: after this long without work AWS ends the cluster, and a Spark Connect session.
    :param most_minutes: after this long the cluster ends in any case.
    :param max_sessions: how many sessions may run at once on this account and scratch.
    :param wait_seconds: how long to wait for the others' end.
    :param user: who runs it.
    """

    bucket: str
    prefix: str
    role_arn: str | None
    cluster_roles: tuple[str, ...]
    idle_minutes: int
    most_minutes: int
    max_sessions: int
    wait_seconds: float
    user: str

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> EmrOptions:
        """Read what :meth:`to_message` gave."""
        return cls(**{**message, "cluster_roles": tuple(message["cluster_roles"])})

    def to_message(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)
