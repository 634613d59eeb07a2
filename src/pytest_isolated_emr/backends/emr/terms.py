"""What every cluster of a session has, whoever makes it: the keeper, or a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pytest_isolated_emr.backends.emr import lifetime
from pytest_isolated_emr.backends.emr.request import session_request
from pytest_isolated_emr.backends.emr.tags import SessionIdentity


@dataclass(frozen=True)
class ClusterTerms:
    """The session's part in the request of a cluster.

    :param identity: whose the cluster is.
    :param idle_minutes: after this long without work AWS ends it.
    :param most_minutes: after this long it ends in any case.
    :param log_uri: where its logs go if the user says nothing.
    """

    identity: SessionIdentity
    idle_minutes: int
    most_minutes: int
    log_uri: str

    def request(self, asked: dict[str, Any], which: str = "") -> dict[str, Any]:
        """Return the RunJobFlow request of a cluster.

        :param asked: what the user asked for; it stays as it is.
        :param which: which of the session's clusters it is; empty for its own.
        :raises ClusterRefused: with the session's own there are more tags or bootstrap actions than AWS takes.
        """
        timer = f"{self.identity.place}/{lifetime.KEY}"
        return session_request(
            asked,
            self.identity,
            idle_seconds=self.idle_minutes * 60,
            log_uri=self.log_uri,
            timer=lifetime.bootstrap_action(timer, self.most_minutes * 60),
            which=which,
        )

    def to_message(self) -> dict[str, Any]:
        """Return the terms as they go from the keeper to its clients, which know the run id."""
        return {
            "owner": self.identity.owner,
            "host": self.identity.host,
            "expiry": self.identity.expiry.isoformat(),
            "place": self.identity.place,
            "idle_minutes": self.idle_minutes,
            "most_minutes": self.most_minutes,
            "log_uri": self.log_uri,
        }

    @classmethod
    def from_message(cls, run_id: str, message: Mapping[str, Any]) -> ClusterTerms:
        """Rebuild what :meth:`to_message` took apart.

        :param run_id: the session's name.
        :param message: the terms.
        """
        identity = SessionIdentity(
            run_id=run_id,
            owner=message["owner"],
            host=message["host"],
            expiry=datetime.fromisoformat(message["expiry"]),
            place=message["place"],
        )
        return cls(identity, message["idle_minutes"], message["most_minutes"], message["log_uri"])
