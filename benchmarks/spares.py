"""Spare keepers, seen from outside: whether one is ready, and their end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE

# A spare is niced: on two busy cores it takes its time.
_SECONDS = 120.0
_POLL_SECONDS = 0.2


class NoSpare(Exception):
    """No spare got ready."""


def wait_until_ready(home: Path) -> dict[str, Any]:
    """Wait until a spare can be claimed, and return what ``isolated-emr ps`` says of it.

    :param home: its state root.
    :raises NoSpare: there is none in time.
    """
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        for entry in listed(home):
            if entry["state"] == "spare":
                return entry
        time.sleep(_POLL_SECONDS)
    raise NoSpare(f"no spare was ready within {_SECONDS:g} s in {home}")


def listed(home: Path) -> list[dict[str, Any]]:
    """Return what ``isolated-emr ps --json`` lists: sessions and spares.

    :param home: the state root.
    """
    done = subprocess.run(_command("ps", "--json"), env=_environ(home), capture_output=True, check=True)
    entries: list[dict[str, Any]] = json.loads(done.stdout)
    return entries


def end_all(home: Path) -> None:
    """End the spares of a state root.

    :param home: the state root.
    """
    subprocess.run(
        _command("sweep", "--spares", "--delete"), env=_environ(home), capture_output=True, check=False
    )


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest_isolated_emr.cli", *arguments]


def _environ(home: Path) -> dict[str, str]:
    return os.environ | {HOME_VARIABLE: str(home)}
