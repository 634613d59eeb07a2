"""What tests of containers have beside the others'."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spares.by_spare import live, wait_for, without_archive


@pytest.fixture
def without_archives(home: Path) -> None:
    """Have runs archive no classes."""
    without_archive(home)


@pytest.fixture
def ends_spares(home: Path) -> Iterator[None]:
    """End what the test leaves."""
    yield
    environ = os.environ | {"ISOLATED_EMR_HOME": str(home)}
    sweep = [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--spares", "--delete"]

    def are_ended() -> bool:
        # One that is busy does not answer in time, and is asked again.
        subprocess.run(sweep, env=environ, stdout=subprocess.DEVNULL, check=False)
        return not list(live(home))

    wait_for(are_ended, f"the end of all that is live in {home}")
