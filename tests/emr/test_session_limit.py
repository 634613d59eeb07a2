"""How many sessions a cluster has; a thousand servers would be too much for a machine."""

from __future__ import annotations

import threading

import pytest

from pytest_isolated_emr.emr.errors import InvalidRequestException
from pytest_isolated_emr.emr.sessions import MAX_ACTIVE_SESSIONS, TERMINATED, ClusterSessions, Session


def test_no_more_than_1000_active_sessions():
    sessions = ClusterSessions()

    def add():
        # None of them lives, so none asks for its server.
        session = Session({"Name": "s"}, "j-1", "arn:", threading.Condition(), lambda _id, _request: None)
        sessions.add(session)
        return session

    added = [add() for _ in range(MAX_ACTIVE_SESSIONS)]
    assert len({session.id for session in added}) == 1000
    with pytest.raises(InvalidRequestException, match="limit of 1000 concurrent active sessions"):
        add()
    added[0].state = TERMINATED
    add()
