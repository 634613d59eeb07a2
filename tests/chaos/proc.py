"""What the kernel says of processes: read from ``/proc`` and nothing else."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

_LISTENS, _ESTABLISHED = "0A", "01"


@dataclass(frozen=True)
class Process:
    """A process as it was when it was looked at.

    :param pid: its number.
    :param started: when it started, in the kernel's ticks.
    :param parent: its parent's number.
    :param command: its command line.
    :param environ: its environment when it started.
    """

    pid: int
    started: int
    parent: int
    command: str
    environ: bytes

    def links(self) -> list[str]:
        """Return what it has open, and where it is."""
        found = []
        for path in (Path(f"/proc/{self.pid}/cwd"), *_entries(f"/proc/{self.pid}/fd")):
            try:
                found.append(os.readlink(path))
            except OSError:
                continue
        return found

    def mentions(self, text: str) -> bool:
        """Tell whether its environment, its command, or what it has open has a text in it."""
        if text.encode() in self.environ or text in self.command:
            return True
        return any(text in link for link in self.links())

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        now = look_at(self.pid)
        return now is not None and now.started == self.started

    def __str__(self) -> str:
        return f"{self.pid} ({self.command[:120]})"


def look_at(pid: int) -> Process | None:
    """Return a process; None if there is none, or only what its parent has not asked for yet."""
    directory = Path("/proc", str(pid))
    try:
        # The name may have blanks and parentheses in it.
        state, parent, *rest = (directory / "stat").read_text().rpartition(") ")[2].split()
        if state in "ZX":
            return None
        command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        environ = (directory / "environ").read_bytes()
    except (OSError, ValueError):
        return None
    return Process(pid, int(rest[17]), int(parent), command, environ)


def all_processes() -> list[Process]:
    """Return all of the machine's but this one."""
    pids = [int(entry.name) for entry in _entries("/proc") if entry.name.isdigit()]
    found = [look_at(pid) for pid in pids if pid != os.getpid()]
    return [process for process in found if process is not None]


def processes_of(text: str) -> list[Process]:
    """Return those that mention a text.

    :param text: a path or a run id that nothing else on the machine has.
    """
    return [process for process in all_processes() if process.mentions(text)]


@dataclass(frozen=True)
class Socket:
    """A TCP socket that listens, or is connected; addresses are as the kernel writes them."""

    address: str
    port: int
    other_address: str
    listens: bool


def sockets(pid: int) -> dict[str, Socket]:
    """Return what listens or is connected in the network that a process is in, by the inode that its owner has open.

    :param pid: the process's number.
    """
    found = {}
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, own, other, state, *rest = line.split()
            if state in (_LISTENS, _ESTABLISHED):
                address, port = own.split(":")
                found[rest[5]] = Socket(address, int(port, 16), other.split(":")[0], state == _LISTENS)
    return found


def network_of(pid: int) -> str:
    """Return a name of the network that a process is in; empty if it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def is_loopback(address: str) -> bool:
    """Tell whether an address as the kernel writes it is of this machine alone."""
    if len(address) == 8:
        return address.endswith("7F")
    return address == "00000000000000000000000001000000" or (
        address.startswith("0000000000000000FFFF0000") and address.endswith("7F")
    )


def is_private(address: str) -> bool:
    """Tell whether an address as the kernel writes it is of a network that is not the world's."""
    if len(address) != 8:
        return False
    # The kernel writes a word as this machine has it in memory.
    return (
        IPv4Address(bytes.fromhex(address)[:: 1 if sys.byteorder == "big" else -1]).is_private
        and address != "00000000"
    )


def _entries(directory: str) -> list[Path]:
    try:
        return list(Path(directory).iterdir())
    except OSError:
        return []
