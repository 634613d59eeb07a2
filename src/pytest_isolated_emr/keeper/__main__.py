"""The keeper's process: ``python -m pytest_isolated_emr.keeper FD``, started by :class:`.client.KeeperClient`."""

from __future__ import annotations

import asyncio
import os
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
        # Not SIG_IGN, which what the keeper starts would inherit: no step could be cancelled.
        signal.signal(number, lambda _number, _frame: None)
    become_subreaper()
    asyncio.run(_serve(lifeline))


async def _serve(lifeline: socket.socket) -> None:
    await Keeper(lifeline).run()
    sys.stdout.flush()
    sys.stderr.flush()
    # A sweep of others may wait for AWS, in a thread, and pytest for this process. It can be cut off at any moment, and
    # its record stays for the next one.
    os._exit(0)


if __name__ == "__main__":
    main()
