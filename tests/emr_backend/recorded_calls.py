"""The calls that boto3's clients of a session really make."""

from __future__ import annotations

from typing import Any


def record_calls(session: Any) -> set[tuple[str, str]]:
    """Return a set that from now on gets service and operation of each call of the session's clients.

    Each attempt that botocore makes is one call to it; clients that were made before are not heard.

    :param session: a boto3 session.
    """
    made: set[tuple[str, str]] = set()

    def note(model: Any, **_kwargs: Any) -> None:
        made.add((model.service_model.service_name, model.name))

    session.events.register("before-call", note)
    return made
