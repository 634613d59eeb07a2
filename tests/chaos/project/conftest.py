"""What each suite of the campaign has: it tells the driver where it is, and what it sees of its session."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest

TOLD = Path(os.environ["CHAOS_TOLD"])


def _tell(what: str, **facts: object) -> None:
    # Seen whole or not at all.
    hidden = TOLD / f".{uuid.uuid4().hex}"
    hidden.write_text(json.dumps({"what": what, "pid": os.getpid(), **facts}))
    hidden.rename(TOLD / f"{what}-{uuid.uuid4().hex}.json")


@pytest.fixture(autouse=True, scope="session")
def told(request: pytest.FixtureRequest) -> None:
    """Tell of the session, once for each process that runs tests."""
    if not request.config.getoption("isolated_emr"):
        _tell("test")
        return
    session = request.getfixturevalue("isolated_emr")
    _tell(
        "test",
        run_id=session.run_id,
        backend=session.backend,
        endpoint_url=session.endpoint_url,
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        scratch=session.scratch.uri,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell that the teardown begins."""
    if not hasattr(session.config, "workerinput"):
        _tell("teardown")
