"""What rounds need besides themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaign import fetch_jars

# The rounds' own suites.
collect_ignore = ["project"]


@pytest.fixture(scope="session")
def set_of_jars() -> Path:
    """The directory with the jars of the installed Spark."""
    return fetch_jars()
