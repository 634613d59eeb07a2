"""Where a round is: a state root, projects, a user's home, and other people's files, all of it in one directory."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.plan import FULL_DISK, READ_ONLY, SPARK, Round
from tests.conftest import WITHOUT_HYPOTHESIS
from tests.nobody import give_away
from tests.spares.by_spare import without_archive

REAL_KEY = "AKIAIOSFODNN7REALKEY"
#: A session of another machine, of which nobody here knows whether it is alive.
FOREIGN = "20250101t000000-aaaaaa"
_PROJECT = Path(__file__).parent / "project"


class Place:
    """The directories of a round.

    :param directory: an empty one, with a short path.
    :param round_: the round.
    :param jars: the directory with the jars of the installed Spark.
    """

    def __init__(self, directory: Path, round_: Round, jars: Path) -> None:
        self.directory = directory
        self.round = round_
        self.home = directory / "home"
        self.temporary = directory / "tmp"
        self.outside = directory / "outside"
        self.user = directory / "user"
        self.clock = directory / "clock"
        self.others_over = directory / "others-over"
        self._jars = jars

    @property
    def is_of_nobody(self) -> bool:
        """Whether somebody without rights runs the round."""
        return self.round.surroundings == READ_ONLY

    @property
    def is_small(self) -> bool:
        """Whether the state root has a small disk of its own."""
        return self.round.surroundings == FULL_DISK

    def project(self, number: int) -> Path:
        """Return the project of a run."""
        return self.directory / f"project-{number}"

    def told(self, number: int) -> Path:
        """Return where a run tells of itself."""
        return self.directory / f"told-{number}"

    def output(self, number: int) -> Path:
        """Return the file with what a run prints."""
        return self.directory / f"output-{number}"

    def make(self) -> None:
        """Make all of it; the state root is there already if it has a disk of its own."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        # Links are not to be of the user nobody.
        copy = shutil.copyfile if self.is_small or self.is_of_nobody else os.link
        shutil.copytree(self._jars, self.home / "jars" / self._jars.name, copy_function=copy)
        if self.round.kind == SPARK:
            # It would be made in the background, long after the round's end.
            without_archive(self.home)
        self.temporary.mkdir()
        self._make_outside()
        self._make_user()
        self._make_foreign()
        self.clock.write_text("+0s")
        for number, run in enumerate(self.round.runs):
            project = self.project(number)
            shutil.copytree(_PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
            pieces = "".join(f"from pieces import {name}\n" for name in run.pieces)
            (project / "test_suite.py").write_text(pieces)
            (project / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\npythonpath = .\n")
            self.told(number).mkdir()
        if self.is_of_nobody:
            give_away(self.directory)

    def environ(self, number: int) -> dict[str, str]:
        """Return the environment of a run: what a developer's machine has."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "AWS_", "ISOLATED_EMR_", "COV_"))
        }
        # Where it is set, nothing is made for later runs: spares are what rounds with Spark are about.
        inherited.pop("CI", None)
        if self.round.kind != SPARK:
            inherited["CI"] = "true"
        return inherited | {
            "HOME": str(self.user),
            "TMPDIR": str(self.temporary),
            "ISOLATED_EMR_HOME": str(self.home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_ADDOPTS": WITHOUT_HYPOTHESIS,
            "COLUMNS": "200",
            "AWS_ACCESS_KEY_ID": REAL_KEY,
            "AWS_SECRET_ACCESS_KEY": "real-secret",
            "AWS_SESSION_TOKEN": f"token of {REAL_KEY}",
            "AWS_ROLE_ARN": f"arn:aws:iam::123456789012:role/{REAL_KEY}",
            "CHAOS_YEK_LAER": REAL_KEY[::-1],
            "CHAOS_TOLD": str(self.told(number)),
            "CHAOS_OUTSIDE": str(self.outside),
            "CHAOS_OTHERS_OVER": str(self.others_over),
        }

    def untouchable(self) -> Iterable[Path]:
        """Return what nobody may change."""
        yield self.outside
        yield self.user
        yield self.home / "sessions" / FOREIGN
        for number in range(len(self.round.runs)):
            yield self.project(number)

    def _make_outside(self) -> None:
        (self.outside / "directory").mkdir(parents=True)
        (self.outside / "file").write_text("somebody else's")
        (self.outside / "directory" / "file").write_text("somebody else's, too")

    def _make_user(self) -> None:
        (self.user / ".aws").mkdir(parents=True)
        (self.user / ".aws" / "credentials").write_text(
            f"[default]\naws_access_key_id = {REAL_KEY}\naws_secret_access_key = real-secret\n"
        )

    def _make_foreign(self) -> None:
        directory = self.home / "sessions" / FOREIGN
        directory.mkdir(mode=0o700, parents=True)
        directory.parent.chmod(0o700)
        (directory / "lock").touch(0o600)
        (directory / "file").write_text("another machine's")
        metadata = {
            "run_id": FOREIGN,
            "host": {"name": "elsewhere", "machine_id": "0" * 32},
            "boot_id": "elsewhere",
            "uid": os.getuid(),
            "keeper": {"boot_id": "elsewhere", "pid": os.getpid(), "started": 1},
            "started": "2025-01-01T00:00:00+00:00",
            "cwd": str(self.outside),
            "command": ["pytest"],
            "backend": "local",
            "versions": {},
            "state": "session",
        }
        (directory / "session.json").write_text(json.dumps(metadata))
        (directory / "journal").write_text(f"directory {self.outside}\n")


def pytest_command(options: Iterable[str]) -> list[str]:
    """Return the command of a run.

    :param options: pytest's.
    """
    return [sys.executable, "-m", "pytest", *options]
