"""What the parts of an isolated run share: pytest's configuration, the settings, the session, words to the user."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pytest_isolated_emr.session import Session
from pytest_isolated_emr.settings import Settings

#: Between two times that the same is shown.
_SECONDS_BETWEEN = 30.0


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
    pace_of_words: PaceOfWords = field(default_factory=lambda: PaceOfWords(), init=False)

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
            self.show_wait(waits_for)
        return bool(waits_for)

    def show_wait(self, waits_for: str) -> None:
        """Show what is being waited for, unless it was shown a moment ago.

        :param waits_for: in words; with a time, say.
        """
        if self.pace_of_words.has_come(waits_for):
            self.progress(waits_for)


class PaceOfWords:
    """When to show what is being waited for: at each change but that of a number, and else twice a minute."""

    def __init__(self) -> None:
        self._shown = ""
        self._at = 0.0

    def has_come(self, words: str) -> bool:
        """Tell whether words are to be shown now, and take note that they are.

        :param words: what is being waited for.
        """
        without_numbers = re.sub("[0-9]+", "", words)
        if without_numbers == self._shown and time.monotonic() < self._at + _SECONDS_BETWEEN:
            return False
        self._shown, self._at = without_numbers, time.monotonic()
        return True
