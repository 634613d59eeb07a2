"""What a backend is: the part of the keeper that starts Spark and ends it.

CONTRIBUTING.md tells how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
    from pytest_isolated_emr.lifecycle.journal import Journal

#: So long an answer may take where the client wants to know what is being waited for, in seconds.
PATIENCE = 5.0


@dataclass(frozen=True)
class BackendContext:
    """What a backend is made for.

    :param directory: the session's directory.
    :param run_id: the session's name.
    :param journal: the session's.
    :param variables: mark a process as the session's.
    :param region: the AWS region that clients see.
    :param options: the settings that are the backend's own, see :mod:`pytest_isolated_emr.backend_options`.
    :param say: is told what a long end of the session is doing.
    """

    directory: Path
    run_id: str
    journal: Journal
    variables: dict[str, str]
    region: str
    options: dict[str, Any]
    say: Callable[[str], None]

    def make_directory(self, name: str) -> None:
        """Make a directory of the session's.

        :param name: its path below the session's directory.
        """
        entry = self.journal.intend("directory", name)
        (self.directory / name).mkdir(mode=0o700)
        self.journal.created(entry)


@dataclass(frozen=True)
class VisibleFiles:
    """What a Spark that does not see this machine's files is to see of them, by the same paths.

    :param read_only: directories that it may read.
    :param writable: directories that it may write, too.
    :param python_path: those of them in which Python workers look for modules, in this order.
    :param packages: the directories of installed packages; a backend that has its own leaves them out.
    """

    read_only: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    python_path: tuple[Path, ...] = ()
    packages: tuple[Path, ...] = ()

    @classmethod
    def from_message(cls, message: dict[str, list[str]]) -> VisibleFiles:
        """Read what :meth:`to_message` gave."""
        return cls(**{name: tuple(map(Path, paths)) for name, paths in message.items()})

    def to_message(self) -> dict[str, list[str]]:
        """Return it as JSON has it."""
        return {name: [str(path) for path in paths] for name, paths in vars(self).items()}


@dataclass(frozen=True)
class SparkRequest:
    """What a Spark is started with. On a cluster there are its settings alone.

    :param properties: Spark's settings at start, ``spark.driver.memory`` among them; secrets too.
    :param environ: the environment of the process.
    :param cwd: its working directory: relative paths in jobs resolve against it.
    :param spark_home: the directory of the Spark to run.
    :param timeout: how long it may take until it answers, in seconds.
    :param files: what it is to see of this machine, where it does not see all.
    """

    properties: dict[str, str] = field(repr=False)
    environ: dict[str, str] = field(repr=False, default_factory=dict)
    cwd: Path = Path("/")
    spark_home: Path = Path("/")
    timeout: float = 0.0
    files: VisibleFiles = VisibleFiles()

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> SparkRequest:
        """Read it as JSON has it."""
        if "environ" not in message:
            return cls(message["properties"])
        return cls(
            properties=message["properties"],
            environ=message["environ"],
            cwd=Path(message["cwd"]),
            spark_home=Path(message["spark_home"]),
            timeout=message["timeout"],
            files=VisibleFiles.from_message(message["files"]),
        )


@dataclass(frozen=True)
class ClusterRequest:
    """What an EMR cluster begins with.

    :param cluster: its id.
    :param has_sessions: whether it may have Spark Connect sessions, whose servers the tests reach.
    :param spark: the session's Spark, as it is on this machine.
    :param files: what its commands are to see of this machine, where they do not see all.
    """

    cluster: str
    has_sessions: bool
    spark: ClusterSpark
    files: VisibleFiles


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
    :param line: what the same command does instead where it was started ahead: it is written to its standard input.
    """

    cluster: str
    name: str
    command: tuple[str, ...]
    environ: dict[str, str] = field(repr=False)
    cwd: Path
    stdout: Path
    stderr: Path
    line: str = ""


class Backend(Protocol):
    """Starts and ends Spark, one for each xdist worker (or the only process) of a session.

    It is made with a :class:`BackendContext`.
    """

    async def waits_for(self) -> str:
        """Return what keeps Spark from being started, in words, some time after it was asked last; empty for nothing.

        :raises IsolatedEmrError: it cannot be had.
        """

    async def start_spark(self, worker: str, request: SparkRequest) -> None:
        """Begin to start Spark for a worker, in place of the one that it has; return at once."""

    async def check(self, worker: str) -> None:
        """Wait until it is known that the worker's Spark can be had, which may be long before it answers.

        :raises IsolatedEmrError: it cannot be had.
        """

    async def spark_gateway(self, worker: str) -> dict[str, Any]:
        """Wait until the worker's Spark answers, and return what a client needs to reach it.

        :raises SparkNotStarted: it ended or was not there in time.
        """

    async def spark_status(self, worker: str) -> dict[str, Any]:
        """Return ``alive``, and where not, ``exit`` in words; ``log`` is the path of what it prints, and ``note`` what a
        failed test should say of it although it lives."""

    async def end_worker(self, worker: str) -> list[str]:
        """End all that a worker has, and return what could not be ended."""

    async def close(self) -> list[str]:
        """End all that the backend started, and return what could not be ended."""


class CommandBackend(Backend, Protocol):
    """A backend of sessions with a private AWS: it runs the commands of the clusters there, too."""

    async def open(self) -> str | None:
        """Make what all of the session's Spark needs; return the address at which the endpoint is to listen besides
        127.0.0.1, if any.

        :raises IsolatedEmrError: it cannot be had.
        """

    def use_endpoint(self, url: str, url_by_address: str | None) -> None:
        """Take over where the private endpoint is.

        :param url: by 127.0.0.1.
        :param url_by_address: by the address that :meth:`open` returned.
        """

    async def begin_cluster(self, request: ClusterRequest) -> ClusterSpark:
        """Take over that there is a cluster, and return its Spark as its commands see it.

        :raises IsolatedEmrError: it can run no commands.
        """

    async def prepare_cluster(self, cluster: str) -> None:
        """Begin to make what a cluster's commands run in, as there will be some; return at once."""

    async def session_port(self, cluster: str, port: int) -> int | None:
        """Return the port of 127.0.0.1 at which tests reach the server of a session of a cluster's; None if it is gone.

        :param port: that on which it says that it listens.
        """

    async def start_ahead(self, request: CommandRequest) -> None:
        """Start a command of a cluster before it is wanted: it waits for a line on its standard input. Where memory is
        short, or the backend has no such commands, nothing is started.

        :raises OSError: it cannot be started.
        """

    async def end_ahead(self, cluster: str, name: str) -> None:
        """End a command that was started ahead and is not wanted, if there is one."""

    async def run_command(self, request: CommandRequest) -> int:
        """Run a command of a cluster to its end, and return its exit code, negative for a signal.

        :param request: the command; one of its name that was started ahead takes its place if it has a line for that, and
            ends otherwise.
        :raises OSError: it cannot be started.
        """

    async def signal_command(self, cluster: str, name: str, number: int) -> bool:
        """Send a signal to a running command of a cluster; tell whether there is one."""

    async def end_command(self, cluster: str, name: str) -> bool:
        """End a running command of a cluster with all that descends from it; tell whether there is one."""

    async def end_cluster(self, cluster: str) -> list[str]:
        """End all that a cluster's commands started, and return what could not be ended."""


@runtime_checkable
class SpareBackend(CommandBackend, Protocol):
    """A backend whose Spark can be started before the session that will use it is there."""

    async def warm_up(self, worker: str, log: Path) -> None:
        """Wait until a worker's Spark answers, and do with it what test runs do first; nothing of that stays.

        :param worker: whose.
        :param log: takes what is printed meanwhile.
        :raises IsolatedEmrError: it does not work.
        """

    async def answers(self, worker: str) -> bool:
        """Tell whether a worker's Spark answers now; one that is stopped does not."""

    async def hand_over(self, worker: str, request: SparkRequest) -> None:
        """Take a worker's Spark, started ahead, for what a client asks for.

        :param worker: whose.
        :param request: fits the one that it was started with; its environment is the whole one.
        """


@runtime_checkable
class ClassDataBackend(SpareBackend, Protocol):
    """A backend that knows alone which archive of classes its Spark can use."""

    def class_data(self) -> list[Path]:
        """Return the archives by which the Sparks that were started would have started sooner, made or not."""

    async def train(self, worker: str, log: Path) -> None:
        """Use a worker's Spark as test runs do, and end it in order, so that it writes an archive of its classes.

        :param worker: whose; it was started with the option for it.
        :param log: takes what is printed meanwhile.
        :raises IsolatedEmrError: it does not work.
        """


class SessionAws(Protocol):
    """The AWS that a session's tests see."""

    async def open(self) -> None:
        """Make it.

        :raises IsolatedEmrError: it cannot be had.
        """

    def describe(self) -> dict[str, Any]:
        """Return what a client needs to use it, as :class:`pytest_isolated_emr.session.Session` reads it."""

    async def ready(self) -> None:
        """Wait until it can be used.

        :raises IsolatedEmrError: it cannot be had, or no more.
        """

    async def answer(self, request: dict[str, Any], worker: str) -> dict[str, Any] | None:
        """Do what a client asks for that is its own; None if it is something else.

        :raises IsolatedEmrError: it cannot be done.
        """

    def notes(self) -> list[str]:
        """Return what the run's summary says of it at the end: what it cost, say."""

    async def close(self) -> list[str]:
        """Take it away, after the backend's Spark, and return what could not be removed."""


@runtime_checkable
class AwsBackend(Backend, Protocol):
    """A backend on Amazon's own AWS.

    :ivar aws: what the session has there.
    """

    aws: SessionAws
