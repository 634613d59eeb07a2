"""The keeper's process: ``python -m pytest_isolated_emr.keeper FD``, started by :class:`.client.KeeperClient`.

``python -m pytest_isolated_emr.keeper ahead`` is a spare, started by :mod:`.start_ahead`, with its order on standard input.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import traceback

from pytest_isolated_emr import errors
from pytest_isolated_emr.keeper.keeper import Keeper
from pytest_isolated_emr.keeper.orphans import reap_orphans
from pytest_isolated_emr.keeper.spare_keeper import SpareKeeper
from pytest_isolated_emr.keeper.spare_order import SpareOrder
from pytest_isolated_emr.keeper.start_ahead import AHEAD, start_ahead
from pytest_isolated_emr.keeper.stray_signals import pass_over_signals
from pytest_isolated_emr.lifecycle.process_log import log_what_can_be_written
from pytest_isolated_emr.lifecycle.processes import become_subreaper


def main() -> None:
    """Serve one session to its end: that of the client at the other end of the socket whose descriptor the command line
    names, or of whoever claims this spare."""
    pass_over_signals()
    log_what_can_be_written()
    become_subreaper()
    asyncio.run(_serve(sys.argv[1]))


async def _serve(what: str) -> None:
    reap_orphans()
    keeper: Keeper
    if what == AHEAD:
        keeper = spare = SpareKeeper()
        await spare.run_ahead(SpareOrder.from_json(sys.stdin.buffer.read()))
    else:
        keeper = Keeper()
        lifeline = socket.socket(fileno=int(what))
        lifeline.set_inheritable(False)
        await keeper.run(lifeline)
    following = keeper.next_spare()
    if following is not None:
        try:
            start_ahead(*following)
        except (errors.IsolatedEmrError, OSError):
            # The next run starts without it.
            traceback.print_exc()
    # A sweep of others may wait for AWS, in a thread, and pytest for this process. It can be cut off at any moment, and
    # its record stays for the next one.
    os._exit(0)


if __name__ == "__main__":
    main()
