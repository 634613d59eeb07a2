"""Run a command in a network of its own where all ports but a few are taken: ``python few_ports.py FREE COMMAND…``.

It is run by ``unshare --net``. Programs listen at the ports for as long as the command lives.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

_FIRST, _COUNT = 40_000, 40


def main() -> None:
    """Take the ports, and become the command."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{_FIRST} {_FIRST + _COUNT - 1}")
    for port in range(_FIRST + int(sys.argv[1]), _FIRST + _COUNT):
        taken = socket.create_server(("127.0.0.1", port))
        # What the command starts does not get it.
        os.set_inheritable(taken.detach(), True)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
