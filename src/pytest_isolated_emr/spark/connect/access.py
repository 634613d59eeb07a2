"""What differs by where a Spark Connect server is: how it is started, reached and told from others, and how it is given up.

:class:`~pytest_isolated_emr.spark.connect.runtime.ConnectRuntime` is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytest_isolated_emr.backends.base import VisibleFiles
from pytest_isolated_emr.spark.base import Isolation
from pytest_isolated_emr.spark.connect.not_there import NotThere


@dataclass(frozen=True)
class Server:
    """A server that listens.

    :param files: what its Python workers see of this machine.
    :param path_file: the file from which they read where to look for modules; None if they see none of this machine.
    """

    files: VisibleFiles
    path_file: Path | None = None


class Access(Protocol):
    """The way to one process's server."""

    #: Says of what Connect lacks where Spark is, and which choice there is.
    not_there: NotThere

    def start(self, options: Mapping[str, str]) -> None:
        """Have the keeper start a server, and go on meanwhile.

        :param options: settings that only a new server takes, in addition to the defaults.
        """

    def connect(self, show: Callable[[str], None]) -> Server:
        """Wait until the server listens, and know how it is reached.

        :param show: takes the address for processes that tests start, now and whenever it is another one.
        :raises IsolatedEmrError: it did not start.
        """

    def refresh(self) -> None:
        """Renew what is near its end."""

    def lead(self, builder: Any) -> None:
        """Have a builder of Connect sessions connect to the server.

        :param builder: its address, if it has any, is replaced.
        """

    def is_allowed(self, builder: Any) -> bool:
        """Tell whether a builder of Connect sessions connects to where tests may.

        :param builder: with an address, or with what makes its channel.
        """

    def prepare(self, client: Any) -> None:
        """Have a client try again for as long as it makes sense.

        :param client: of a new Connect session.
        """

    def isolation_of(self, shared: Any, settings: Mapping[str, str]) -> Isolation:
        """Return what gives tests sessions of their own beside a shared one.

        :param shared: the session that all tests share.
        :param settings: what the suite set when it made the first session.
        """

    def stop(self, session: Any) -> None:
        """Stop a session, soon, whatever has become of the server.

        :param session: of Spark Connect, running or stopped.
        """

    def disconnect(self) -> None:
        """Forget the server; nothing is asked for it any more."""
