"""Which machine, and which boot of it, this is: only there does a recorded process mean anything."""

from __future__ import annotations

import ctypes
import functools
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class Host:
    """A machine.

    :param name: its host name.
    :param machine_id: its id, since machines behind a shared home directory may have the same name.
    """

    name: str
    machine_id: str

    def to_dict(self) -> dict[str, str]:
        """Return the host as it is written to files."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Host:
        """Read what :meth:`to_dict` gave.

        :param fields: the fields as read from a file.
        :raises ValueError: if they are not those of a host.
        """
        name, machine_id = fields.get("name"), fields.get("machine_id")
        if not (isinstance(name, str) and isinstance(machine_id, str)):
            raise ValueError(f"not a host: {fields!r}")
        return cls(name, machine_id)


@functools.cache
def this_host() -> Host:
    """Return the machine that this process runs on."""
    return Host(socket.gethostname(), _machine_id())


@functools.cache
def boot_id() -> str:
    """Return what tells this boot of the machine from every other one."""
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return str(int(psutil.boot_time()))


def _machine_id() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            found = Path(path).read_text().strip()
        except OSError:
            continue
        if found:
            return found
    if sys.platform == "darwin":
        identifier, patience = (ctypes.c_ubyte * 16)(), (ctypes.c_long * 2)(1, 0)
        if ctypes.CDLL(None).gethostuuid(identifier, patience) == 0:
            return bytes(identifier).hex()
    # Minimal containers have no id, and often all the same name: then only this boot is surely this machine.
    return f"boot:{boot_id()}"
