"""Spares as tests see them from outside, and runs that claim one."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pytest_isolated_emr.lifecycle.processes import ProcessIdentity, descendants_of, processes_of
from pytest_isolated_emr.lifecycle.session_directory import SPARE, WARMING, is_alive, read_metadata
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark import jars
from pytest_isolated_emr.spark.class_data import ClassData
from pytest_isolated_emr.spark.installation import find_spark
from pytest_isolated_emr.spark.java import require_java

WARM = "--isolated-emr-warm=always"
READY = "a spare was ready"

# Far more than anything takes; it ends a test that waits in vain.
_PATIENCE = 300
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Spare:
    """A spare that waits for its run.

    :param run_id: its run id.
    :param directory: its directory.
    :param keeper: its keeper.
    :param processes: the keeper and all that it has started.
    """

    run_id: str
    directory: Path
    keeper: ProcessIdentity
    processes: tuple[ProcessIdentity, ...]

    def process(self, word: str) -> psutil.Process:
        """Return the process that has a word in its command line."""
        found = [psutil.Process(each.pid) for each in self.processes]
        (process,) = [each for each in found if any(word in argument for argument in each.cmdline())]
        return process

    @property
    def jvm(self) -> psutil.Process:
        return self.process("SparkSubmit")

    @property
    def endpoint(self) -> psutil.Process:
        return self.process("pytest_isolated_emr.aws.endpoint")

    @property
    def port(self) -> int:
        """The endpoint's."""
        (connection,) = [each for each in self.endpoint.net_connections() if each.status == "LISTEN"]
        return int(connection.laddr.port)

    def has_ended(self) -> bool:
        return not any(each.is_alive() for each in self.processes) and not processes_of(self.run_id)

    def is_gone(self) -> bool:
        return self.has_ended() and not self.directory.exists()

    def wait_until_gone(self) -> None:
        wait_for(self.is_gone, f"the end of {self}")


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds of something that tells nobody."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(_LOOK_SECONDS)


def live(home: Path) -> Iterator[tuple[Path, str]]:
    """Yield the directory and the state of each live session of a state root."""
    for path in sorted((home / "sessions").glob("2*")):
        metadata = read_metadata(path)
        try:
            if metadata is not None and is_alive(path):
                yield path, metadata.state
        except FileNotFoundError:
            # It went at this moment.
            continue


def ready_spares(home: Path) -> list[Path]:
    """Return the directories of the spares that can be claimed: who is one, and is found."""
    offered = {path.read_text() for path in (home / "spares").glob("*") if not path.suffix}
    return [path for path, state in live(home) if state == SPARE and path.name in offered]


def wait_for_spare(home: Path) -> Spare:
    """Wait until a spare can be claimed, and return it."""
    wait_for(lambda: ready_spares(home) or _hurry(home), f"a spare in {home}; {logs_of(home)}")
    (path,) = ready_spares(home)
    metadata = read_metadata(path)
    assert metadata is not None
    return Spare(path.name, path, metadata.keeper, (metadata.keeper, *descendants_of(metadata.keeper)))


def _hurry(home: Path) -> None:
    """Give spares that get ready the usual priority: here a test waits for them, beside others."""
    for path, state in live(home):
        metadata = read_metadata(path)
        if state == WARMING and metadata is not None:
            for each in (metadata.keeper, *descendants_of(metadata.keeper)):
                # It may have ended; and only root can, where only for root it was lowered.
                with suppress(ProcessLookupError, PermissionError):
                    os.setpriority(os.PRIO_PGRP, each.pid, 0)


def logs_of(home: Path) -> dict[str, str]:
    """Return what is said of spares that could not be made."""
    return {str(path): path.read_text(errors="replace") for path in (home / "spares").glob("*.log")}


def without_archive(home: Path) -> Path:
    """Have runs archive no classes, which takes a minute: it has just failed, as they find it."""
    root = StateRoot(home)
    installation = find_spark()
    jar_set = jars.cached_s3_jars(installation, root.jars)
    assert jar_set is not None
    java = require_java(installation.version)
    archive = ClassData(root.class_data, installation, java, jar_set).path
    archive.parent.mkdir(mode=0o700, exist_ok=True)
    archive.with_suffix(".log").touch()
    return home


def port_is_free(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


@dataclass(frozen=True)
class RunBySpare:
    """Runs pytest as a test asks for it, after another run has left a spare of the same key.

    :param run: runs it.
    :param home: the state root.
    :param project: the directory of the suite.
    """

    run: Callable[..., Any]
    home: Path
    project: Path

    def __call__(self, *arguments: str, **options: str) -> Any:
        if not _is_local(arguments):
            return self.run(*arguments, **options)
        first = self.project / "test_first_of_all.py"
        first.write_text("def test_first_of_all(): pass\n")
        self.run(*arguments, WARM, first.name, **options).assert_passed(1)
        first.unlink()
        spare = wait_for_spare(self.home)
        finished = self.run(*arguments, WARM, **options)
        assert READY in finished.output, finished.output
        assert spare.run_id in finished.output, finished.output
        # Its directory may have logs of a failed test.
        wait_for(spare.has_ended, f"the end of {spare}")
        return finished


def _is_local(arguments: tuple[str, ...]) -> bool:
    backend = Settings().backend
    given = [each.partition("=")[2] for each in arguments if each.startswith("--isolated-emr-backend=")]
    return "--isolated-emr" in arguments and all(each == backend for each in given)
