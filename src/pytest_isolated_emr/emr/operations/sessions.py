"""Operations on Spark Connect sessions.

https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-spark-connect-sessions.html
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from moto.core.utils import utcnow

from pytest_isolated_emr.emr import releases
from pytest_isolated_emr.emr.clusters import Cluster
from pytest_isolated_emr.emr.errors import InvalidRequestException
from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.paging import page
from pytest_isolated_emr.emr.session_server import TOKEN_SECONDS
from pytest_isolated_emr.emr.sessions import LONGEST_IDLE_TIMEOUT, Session

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_ListSessions.html
_LARGEST_PAGE = 100


def start_session(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Start a session."""
    cluster = backend.find_cluster(request["ClusterId"])
    _check_cluster(cluster)
    # The guide says so; the API's model does not.
    if not request.get("Name"):
        raise InvalidRequestException("Session name must not be empty.")
    idle = request.get("SessionIdleTimeoutInMinutes")
    if idle is not None and not 1 <= idle <= LONGEST_IDLE_TIMEOUT:
        raise InvalidRequestException(
            f"SessionIdleTimeoutInMinutes must be between 1 and {LONGEST_IDLE_TIMEOUT}."
        )
    with cluster.changed:
        earlier = cluster.sessions.started_by(request.get("ClientRequestToken"))
        session = earlier or cluster.start_session(request)
        state = session.state
    return {
        "Id": session.id,
        "ClusterId": cluster.id,
        "Arn": session.arn,
        "AccountId": backend.account_id,
        "State": state,
    }


def get_session(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell all of a session."""
    cluster, session = _find(backend, request)
    return {"Session": _describe(backend, cluster, session)}


def get_session_endpoint(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell where a session's server listens, with a new token for it."""
    _cluster, session = _find(backend, request)
    if not session.is_ready:
        raise InvalidRequestException(
            f"Session {session.id} is in the {session.state} state: it must be in the STARTED, IDLE or BUSY state."
        )
    return {
        "Endpoint": f"http://{session.server.address}",
        "AuthToken": session.server.new_token(time.time() + TOKEN_SECONDS),
        "AuthTokenExpirationTime": utcnow() + timedelta(seconds=TOKEN_SECONDS),
    }


def list_sessions(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """Tell of a cluster's sessions, the newest first."""
    cluster = backend.find_cluster(request["ClusterId"])
    states = request.get("SessionStates") or ()
    with cluster.changed:
        described = [_describe(backend, cluster, session) for session in cluster.sessions.newest_first()]
    found = [session for session in described if not states or session["State"] in states]
    return page(found, "Sessions", request, "NextToken", _LARGEST_PAGE)


def terminate_session(backend: EmrBackend, request: dict[str, Any]) -> dict[str, Any]:
    """End a session; one that has ended stays as it is."""
    cluster, session = _find(backend, request)
    with cluster.changed:
        session.end("The session was terminated by user request.")
        return {"ClusterId": cluster.id, "SessionId": session.id, "State": session.state}


def _find(backend: EmrBackend, request: dict[str, Any]) -> tuple[Cluster, Session]:
    cluster = backend.find_cluster(request["ClusterId"])
    return cluster, cluster.sessions.find(request["SessionId"])


def _check_cluster(cluster: Cluster) -> None:
    """Refuse a cluster that has no sessions.

    :param cluster: the cluster.
    :raises InvalidRequestException: its release is too old, or it was made without them.
    """
    label = cluster.release_label or ""
    if not releases.has_sessions(label):
        raise InvalidRequestException(
            f"Sessions are supported in release emr-spark-{releases.FIRST_WITH_SESSIONS}.0.0 and later; "
            f"cluster {cluster.id} has release {label}."
        )
    if not cluster.request.get("SessionEnabled"):
        raise InvalidRequestException(f"Sessions are not enabled on cluster {cluster.id}.")


def _describe(backend: EmrBackend, cluster: Cluster, session: Session) -> dict[str, Any]:
    return {
        **session.describe(),
        "ReleaseLabel": cluster.release_label,
        "AccountId": backend.account_id,
    }
