"""The run's environment, as tests have it in the fixture ``isolated_emr``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_isolated_emr.scratch import Scratch
from pytest_isolated_emr.session import Session


class Environment:
    """All that a run owns, for tests to ask for.

    :param session: the session.
    :param spark_conf: returns the settings that its Spark starts with.
    :param scratch: returns the scratch of the session.
    """

    def __init__(
        self, session: Session, spark_conf: Callable[[], dict[str, str]], scratch: Callable[[], Scratch]
    ) -> None:
        self._session = session
        self._spark_conf = spark_conf
        self._scratch = scratch

    @property
    def run_id(self) -> str:
        """The session's name, such as ``20261123t211623-9f3c2a``; xdist workers share it."""
        return self._session.run_id

    @property
    def backend(self) -> str:
        """Where Spark runs, such as ``local``."""
        return self._session.backend

    @property
    def region(self) -> str:
        """The AWS region that clients see."""
        return self._session.region

    @property
    def endpoint_url(self) -> str | None:
        """Where the private AWS is, such as ``http://127.0.0.1:40123``; None on Amazon's own AWS."""
        return self._session.endpoint_url

    @property
    def scratch(self) -> Scratch:
        """A place on S3 and on the disk for all tests of this process."""
        return self._scratch()

    @property
    def spark_conf(self) -> dict[str, str]:
        """The settings that this process's Spark starts with; the session's own credentials are among them."""
        return self._spark_conf()

    @property
    def boto3_session(self) -> Any:
        """A boto3 session with the run's credentials."""
        return self._session.boto3_session

    def client(self, service: str, **options: Any) -> Any:
        """Return a boto3 client of the run's AWS.

        :param service: the service's name in boto3, such as ``s3``.
        :param options: more for ``boto3.Session.client``.
        """
        return self._session.client_of(service, **options)
