"""The logs of a run with failures, which stay for a look when the session's directory goes."""

from __future__ import annotations

from pathlib import Path

from pytest_isolated_emr.lifecycle.copying import copy_plain
from pytest_isolated_emr.session import OWNER, Session


class KeptLogs:
    """Where a session's logs are after its end.

    :param session: the session.
    :param retention: whose logs are kept, as the setting has it.
    """

    def __init__(self, session: Session, retention: str) -> None:
        self._session = session
        self._retention = retention
        self._place = session.directory / "kept"

    def words_for(self, log: Path) -> str:
        """Return what a failed test's report says of a log: where it will be when the report is read.

        :param log: the log, or a directory of logs, while the session lives.
        """
        if self._retention == "none":
            return "the whole log is not kept: retention is none"
        return f"the whole log: {self._kept(log)}"

    def keep(self) -> list[str]:
        """Copy all logs, and return lines for the summary."""
        self._session.client.request("keep")
        lines = [self._copy("logs", self._session.directory / "logs")]
        for logs in sorted(self._session.directory.glob("clusters/j-*/logs")):
            lines.append(self._copy(f"logs of the EMR cluster {logs.parent.name}", logs))
        return lines

    def _copy(self, what: str, logs: Path) -> str:
        kept = self._kept(logs)
        try:
            copy_plain(logs, kept)
        except OSError as error:
            # The disk may be full, or a step may still be writing.
            return f"not all kept: {what}: {kept}: {error}"
        return f"kept: {what}: {kept}"

    def _kept(self, log: Path) -> Path:
        kind, *rest = log.relative_to(self._session.directory).parts
        if kind == "clusters":
            cluster, _logs, *rest = rest
            return self._place.joinpath("clusters", cluster, *rest)
        return self._place.joinpath(f"logs-{OWNER}", *rest)
