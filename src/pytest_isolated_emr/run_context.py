"""What the parts of an isolated run share: pytest's configuration, the settings, the session, words to the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pytest_isolated_emr.session import Session
from pytest_isolated_emr.settings import Settings


@dataclass(frozen=True)
class RunContext:
    """One process's part of a run.

    :param config: pytest's.
    :param settings: what was asked for.
    :param session: the session.
    :param progress: shows at once what is being waited for.
    :param note: takes what the user should read in the summary.
    """

    config: pytest.Config
    settings: Settings
    session: Session
    progress: Callable[[str], None]
    note: Callable[[str], None]

    def wait_for_backend(self) -> None:
        """Wait until Spark can be started: for the pull of an image, or for a cluster.

        :raises IsolatedEmrError: it cannot be had.
        """
        while self.look_at_backend():
            pass

    def look_at_backend(self) -> bool:
        """Look what Spark's start waits for, for some seconds, and show it; tell whether there is anything.

        :raises IsolatedEmrError: it cannot be had.
        """
        waits_for: str = self.session.client.request("waits_for")["waits_for"]
        if waits_for:
            self.progress(waits_for)
        return bool(waits_for)
