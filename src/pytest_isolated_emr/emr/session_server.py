"""The Spark Connect server of one session: its process, where it listens, its tokens, what it says of itself.

On EMR the server is an application of YARN, so its directory and logs are a container's. Its gate
(``spark/connect/java/ConnectGate.java``) reads the key in the session's directory, and writes there.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_isolated_emr.emr import configurations
from pytest_isolated_emr.emr.cluster_files import ClusterFiles
from pytest_isolated_emr.emr.commands.containers import Container
from pytest_isolated_emr.emr.logs import LogUploads
from pytest_isolated_emr.keeper.concurrent_client import ConcurrentKeeperClient
from pytest_isolated_emr.lifecycle.private_files import write_private
from pytest_isolated_emr.spark.connect import tokens

#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-spark-connect-sessions.html ("expire after 1 hour")
TOKEN_SECONDS = 3600
_TAIL = 4000


@dataclass(frozen=True)
class Activity:
    """Whether calls are under way.

    :param is_busy: whether there is one.
    :param since: since when that is so, as ``time.time()`` has it.
    """

    is_busy: bool
    since: float


class SessionServer:
    """One server, which runs in the thread that calls :meth:`run`.

    :param keeper: owns the process.
    :param cluster_id: the cluster.
    :param files: the cluster's directory.
    :param uploads: where its logs go.
    :param session_id: the session.
    :param asked: StartSession's EngineConfigurations.
    """

    def __init__(
        self,
        keeper: ConcurrentKeeperClient,
        cluster_id: str,
        files: ClusterFiles,
        uploads: LogUploads,
        *,
        session_id: str,
        asked: Sequence[dict[str, Any]],
    ) -> None:
        self._keeper = keeper
        self._cluster_id = cluster_id
        self._files = files
        self._uploads = uploads
        self._asked = asked
        self._name = f"session {session_id}"
        self._directory = files.path / "sessions" / session_id
        self._key = tokens.new_key()
        self._port: int | None = None
        #: How it ended, for its clients; empty while it has not.
        self.end_reason = ""

    def run(self) -> None:
        """Run it to its end; its logs are on S3 then."""
        self._directory.mkdir(mode=0o700)
        write_private(self._directory / "key", self._key)
        applied = configurations.apply(self._asked)
        notes = [f"{name}: left out, as it would lead out of the session" for name in applied.left_out]
        notes += [f"{name}: without effect here" for name in applied.without_effect]
        described = {"settings": applied.spark, "notes": notes}
        write_private(self._directory / "session.json", json.dumps(described).encode())
        container = Container.make(self._files.path)
        container.logs.mkdir(parents=True, mode=0o700)
        stderr = container.logs / "stderr"
        reply = self._keeper.request(
            "run_command",
            cluster=self._cluster_id,
            name=self._name,
            command=["spark-connect-session", str(self._directory)],
            environ=self._files.variables_with(applied.variables),
            cwd=str(container.directory),
            stdout=str(container.logs / "stdout"),
            stderr=str(stderr),
        )
        self.end_reason = _end_reason(reply, stderr)
        self._uploads.send(container.logs.parent, "containers", container.application)

    def end(self, *, at_once: bool) -> None:
        """End it, if it runs; return before it has ended.

        :param at_once: whether it is killed with all that descends from it; else it is asked to end.
        """
        of_server = {"cluster": self._cluster_id, "name": self._name}
        if at_once:
            self._keeper.request("end_command", **of_server)
        else:
            self._keeper.request("signal_command", **of_server, number=signal.SIGTERM)

    @property
    def address(self) -> str | None:
        """Where clients reach it, as host and port; None before it listens."""
        own = _read(self._directory / "port")
        if self._port is None and own:
            reply = self._keeper.request("session_port", cluster=self._cluster_id, port=int(own))
            self._port = reply["port"]
        return f"127.0.0.1:{self._port}" if self._port else None

    def activity(self) -> Activity | None:
        """Return whether calls are under way; None if there was none yet."""
        said = _read(self._directory / "activity")
        if not said:
            return None
        state, milliseconds = said.split()
        return Activity(state == "BUSY", int(milliseconds) / 1000)

    def new_token(self, expires: float) -> str:
        """Return a token that the server takes.

        :param expires: until when, as ``time.time()`` has it.
        """
        return tokens.new_token(self._key, expires)


def _end_reason(reply: dict[str, Any], stderr: Path) -> str:
    """Say how a server ended that should not have.

    :param reply: the keeper's, on its command.
    :param stderr: what it printed.
    """
    if "not_started" in reply:
        return f"The Spark Connect server could not be started: {reply['not_started']}"
    returncode: int = reply["returncode"]
    text = stderr.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if returncode < 0:
        # Of a container's end, say.
        known = [line for line in lines if line.startswith("isolated-emr: Error: ")]
        return " ".join([f"The Spark Connect server was ended by signal {-returncode}.", *known])
    reasons = [line for line in lines if line.startswith(("Exception in thread", "Caused by:", "IE"))]
    # Java's own complaints about its options take several lines.
    words = reasons[-1] if reasons else " ".join(lines[-3:])
    return f"The Spark Connect server ended with exit code {returncode}: {words}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
