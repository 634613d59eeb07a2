"""The keeper's process: ``python -m pytest_isolated_emr.keeper FD``, started by :class:`.client.KeeperClient`."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

from pytest_isolated_emr.keeper.keeper import Keeper
from pytest_isolated_emr.lifecycle.processes import become_subreaper


def main() -> None:
    """Serve the client at the other end of the socket whose descriptor the command line names, to its end."""
    lifeline = socket.socket(fileno=int(sys.argv[1]))
    lifeline.set_inheritable(False)
    # Whoever wants the session to end ends pytest; a stray signal to a whole group must not stop the cleaning.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    become_subreaper()
    asyncio.run(Keeper(lifeline).run())


if __name__ == "__main__":
    main()
