"""A YARN container: the directory and the logs of a driver in cluster mode."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pytest_isolated_emr.emr.cluster_directory import SPARK_FILE, applications_file


@dataclass(frozen=True)
class Container:
    """The first container of an application.

    :param application: its id, such as ``application_1700000000000_0001``.
    :param directory: its working directory.
    :param logs: the directory of its logs.
    """

    application: str
    directory: Path
    logs: Path

    @classmethod
    def make(cls, cluster: Path) -> Container:
        """Make the next application's container.

        :param cluster: the cluster's directory.
        """
        applications = cluster / "applications"
        # As YARN names them: by when its resource manager started, and a number.
        started = int((cluster / SPARK_FILE).stat().st_mtime * 1000)
        number = len(list(applications.iterdir())) + 1
        while True:
            application = f"application_{started}_{number:04d}"
            directory = applications / application / f"container_{started}_{number:04d}_01_000001"
            try:
                # Two steps may submit at the same moment.
                directory.parent.mkdir(mode=0o700)
                break
            except FileExistsError:
                number += 1
        directory.mkdir(mode=0o700)
        return cls(application, directory, cluster / "logs" / "containers" / application / directory.name)

    def note(self, cluster: Path, step_id: str) -> None:
        """Note whose application it is.

        :param cluster: the cluster's directory.
        :param step_id: the step that submits it; empty where a bootstrap action does.
        """
        if step_id:
            with applications_file(cluster, step_id).open("a", encoding="utf-8") as notes:
                notes.write(f"{self.application}\n")

    def remove(self) -> None:
        """Remove it, as nothing was run in it."""
        shutil.rmtree(self.directory.parent, ignore_errors=True)

    def variables(self) -> dict[str, str]:
        """Return what YARN tells a container."""
        return {
            "CONTAINER_ID": self.directory.name,
            # By CONTAINER_ID Spark takes this for YARN, and its own directories from there.
            "LOCAL_DIRS": os.environ["SPARK_LOCAL_DIRS"],
            "LOG_DIRS": str(self.logs),
            "PWD": str(self.directory),
        }

    @contextlib.contextmanager
    def open_logs(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Open the files that take the driver's output and error output; nobody sees them before :meth:`show_logs`."""
        self._hidden_logs.mkdir(mode=0o700)
        with (
            (self._hidden_logs / "stdout").open("ab") as stdout,
            (self._hidden_logs / "stderr").open("ab") as stderr,
        ):
            yield stdout, stderr

    def show_logs(self) -> None:
        """Have the logs where a container's are, as there is a driver."""
        self.logs.parent.mkdir(parents=True, mode=0o700)
        self._hidden_logs.rename(self.logs)

    @property
    def _hidden_logs(self) -> Path:
        return self.directory.with_name("logs")

    def report(self, state: str) -> None:
        """Say how far the application is, as YARN's client does."""
        _log("INFO", f"Application report for {self.application} (state: {state})")

    def finish(self, returncode: int) -> int:
        """Say how the application ended, and return the exit code of YARN's client.

        :param returncode: the driver's, negative for a signal.
        """
        self.report("FINISHED")
        if returncode == 0:
            _log("INFO", "final status: SUCCEEDED")
            return 0
        _log("ERROR", f"final status: FAILED; user application exited with status {returncode}")
        print(
            f'Exception in thread "main" org.apache.spark.SparkException: Application {self.application} '
            "finished with failed status",
            file=sys.stderr,
            flush=True,
        )
        return 1


def _log(level: str, text: str) -> None:
    now = time.strftime("%y/%m/%d %H:%M:%S")
    print(f"{now} {level} Client: {text}", file=sys.stderr, flush=True)
