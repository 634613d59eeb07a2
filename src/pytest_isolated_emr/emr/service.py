"""Puts our EMR in the place of moto's in the endpoint's process."""

from __future__ import annotations

from pathlib import Path

from moto.emr.models import emr_backends

from pytest_isolated_emr.emr import cloudformation
from pytest_isolated_emr.emr.models import EmrBackend, SessionLink


def install(session_directory: Path) -> None:
    """Have moto serve our EMR. Call it once, before its first request.

    :param session_directory: the session's, where its keeper listens.
    """
    EmrBackend.session = SessionLink(session_directory)
    emr_backends.backend = EmrBackend
    cloudformation.install()
