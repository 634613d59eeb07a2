"""What a backend is: the part of the keeper that starts Spark and ends it.

To add one, write a class with these methods in a module of its own, name it in ``backends.BACKENDS``, and give
``lifecycle.sweep`` a remover for each new kind of thing that it records in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class SparkRequest:
    """What a Spark process is started with.

    :param properties: Spark's settings at start, ``spark.driver.memory`` among them; secrets too.
    :param environ: the environment of the process.
    :param cwd: its working directory: relative paths in jobs resolve against it.
    :param spark_home: the directory of the Spark to run.
    :param timeout: how long it may take until it answers, in seconds.
    """

    properties: dict[str, str] = field(repr=False)
    environ: dict[str, str] = field(repr=False)
    cwd: Path
    spark_home: Path
    timeout: float


@dataclass(frozen=True)
class CommandRequest:
    """What a command of an EMR cluster is started with: a step or a bootstrap action.

    :param cluster: the cluster's id, which marks the process and all that descends from it.
    :param name: what it is, such as ``step s-2V3J7…``.
    :param command: the program and its arguments; no secret may be among them.
    :param environ: the environment of the process.
    :param cwd: its working directory.
    :param stdout: a file that takes its standard output.
    :param stderr: a file that takes its standard error.
    """

    cluster: str
    name: str
    command: tuple[str, ...]
    environ: dict[str, str] = field(repr=False)
    cwd: Path
    stdout: Path
    stderr: Path


class Backend(Protocol):
    """Starts and ends Spark, one for each xdist worker (or the only process) of a session, and clusters' commands."""

    async def start_spark(self, worker: str, request: SparkRequest) -> None:
        """Begin to start Spark for a worker, in place of the one that it has; return at once."""

    async def spark_gateway(self, worker: str) -> dict[str, Any]:
        """Wait until the worker's Spark answers, and return what a client needs to reach it.

        :raises SparkNotStarted: it ended or was not there in time.
        """

    def spark_status(self, worker: str) -> dict[str, Any]:
        """Return ``alive``, and where not, ``exit`` in words; ``log`` is the path of what it prints."""

    async def end_worker(self, worker: str) -> list[str]:
        """End all that a worker has, and return what could not be ended."""

    async def run_command(self, request: CommandRequest) -> int:
        """Run a command of a cluster to its end, and return its exit code, negative for a signal.

        :raises OSError: it cannot be started.
        """

    def signal_command(self, cluster: str, name: str, number: int) -> bool:
        """Send a signal to a running command of a cluster; tell whether there is one."""

    async def end_command(self, cluster: str, name: str) -> bool:
        """End a running command of a cluster with all that descends from it; tell whether there is one."""

    async def end_cluster(self, cluster: str) -> list[str]:
        """End all that a cluster's commands started, and return what could not be ended."""

    async def close(self) -> list[str]:
        """End all that the backend started, and return what could not be ended."""
