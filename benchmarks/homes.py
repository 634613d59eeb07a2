"""The state roots that runs are measured with: what earlier runs of a user's have left for later ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE, StateRoot


@dataclass(frozen=True)
class Homes:
    """State roots, each used by no session but the bench's.

    :param cold: the jars alone, as after the first run on a machine.
    :param archived: as after ``isolated-emr fetch``: Spark's classes are archived.
    :param warm: the same, for sessions that leave a spare.
    """

    cold: Path
    archived: Path
    warm: Path


def prepare(directory: Path, *arguments: str) -> Homes:
    """Make the state roots.

    :param directory: an empty one, with a short path: there are sockets in it.
    :param arguments: of ``isolated-emr fetch``, which makes the archives.
    """
    fetched = StateRoot.from_environment()
    _fetch(fetched.path, *arguments)
    homes = Homes(directory / "cold", directory / "archived", directory / "warm")
    for home in (homes.cold, homes.archived, homes.warm):
        root = StateRoot(home)
        root.open()
        shutil.copytree(fetched.jars, root.jars, dirs_exist_ok=True)
    for home in (homes.archived, homes.warm):
        # An archive is of the jars by their paths: each root has one of its own.
        _fetch(home, *arguments)
    return homes


def _fetch(home: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pytest_isolated_emr.cli", "fetch", *arguments]
    subprocess.run(command, env=os.environ | {HOME_VARIABLE: str(home)}, check=True)
