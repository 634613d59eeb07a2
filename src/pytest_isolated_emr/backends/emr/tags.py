"""What a cluster says of the session that it is of: its name, and tags that prove it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pytest_isolated_emr.lifecycle.run_id import is_run_id

RUN_ID = "isolated-emr-run-id"
OWNER = "isolated-emr-owner"
HOST = "isolated-emr-host"
EXPIRY = "isolated-emr-expiry"
#: Where the session's lease is, as ``s3://bucket/prefix/run id``.
PLACE = "isolated-emr-place"

_OURS = "isolated-emr"
#: https://docs.aws.amazon.com/emr/latest/APIReference/API_RunJobFlow.html
_LONGEST_NAME = 256
#: A cluster takes its time to start and to end, which its timer does not count.
_MARGIN = timedelta(minutes=15)


@dataclass(frozen=True)
class SessionIdentity:
    """Whose a cluster is.

    :param run_id: the session's name.
    :param owner: who started it, as ``user`` or an ARN.
    :param host: the machine that it runs on.
    :param expiry: when nobody wants the cluster any more, by AWS's clock.
    :param place: the run's own prefix, as ``s3://bucket/prefix/run id``.
    """

    run_id: str
    owner: str
    host: str
    expiry: datetime
    place: str

    @property
    def cluster_name(self) -> str:
        """The name by which ListClusters finds the session's cluster, as that tells no tags."""
        return name_of(self.run_id)

    def tags(self) -> list[dict[str, str]]:
        """Return the tags as RunJobFlow takes them."""
        values = {
            RUN_ID: self.run_id,
            OWNER: self.owner,
            HOST: self.host,
            EXPIRY: self.expiry.isoformat(timespec="seconds"),
            PLACE: self.place,
        }
        return [{"Key": key, "Value": value} for key, value in values.items()]

    def facts(self) -> dict[str, str]:
        """Return what the journal says of its clusters; run id and host are the journal's own."""
        return {"owner": self.owner, "expiry": self.expiry.isoformat(timespec="seconds"), "place": self.place}


def expiry_after(now: datetime, lifetime: timedelta) -> datetime:
    """Return when nobody wants a cluster any more that is launched now.

    :param now: the time, by AWS's clock.
    :param lifetime: the longest that it may run.
    """
    return now + lifetime + _MARGIN


def name_of(run_id: str, which: str = "") -> str:
    """Return the name of a session's cluster, by which ListClusters finds it.

    :param run_id: the session's.
    :param which: which of the session's clusters; empty for its own.
    """
    return f"{_OURS} {run_id} {which}".rstrip()[:_LONGEST_NAME]


def run_id_of(name: str) -> str | None:
    """Return the session that a cluster says by its name that it is of; None for one of somebody else's.

    :param name: as ListClusters has it.
    """
    ours, _, rest = name.partition(" ")
    run_id = rest.partition(" ")[0]
    return run_id if ours == _OURS and is_run_id(run_id) else None


def values_of(tags: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return a cluster's tags by their keys.

    :param tags: as DescribeCluster has them.
    """
    return {str(tag.get("Key")): str(tag.get("Value")) for tag in tags}
