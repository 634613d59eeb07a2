"""Looking at a session from outside, while it runs and after its end."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.lifecycle.processes import processes_of
from tests.amazon import Amazon
from tests.engine import things_of

# Far more than it takes; it ends a test that waits in vain.
_PATIENCE = 300


@dataclass
class Seen:
    """What a test inside a run told of its session."""

    run_id: str
    directory: Path
    port: int | None
    backend: str
    pids: dict[str, int]
    on_amazon: Callable[[str], list[str]]

    def wait_until_gone(self) -> None:
        """Wait for the end of the keeper, which comes last, then check that nothing of the session is left."""
        wait_for_end(self.pids["keeper"])
        self.assert_gone()

    def assert_gone(self) -> None:
        assert processes_of(self.run_id) == []
        assert not self.directory.exists()
        self.assert_port_free()
        if self.backend == "docker":
            assert things_of(self.run_id) == []
        if self.backend == "emr":
            assert self.on_amazon(self.run_id) == []

    def assert_port_free(self) -> None:
        if self.port is None:
            return
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", self.port))


def wait_for_end(pid: int) -> None:
    """Wait until a process that is no child of ours has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], _PATIENCE)[0], f"process {pid} does not end"
    finally:
        os.close(handle)


#: To be put into a project: tells what is seen from inside a test through a pipe, and waits to be killed.
TELL = """
import json, os, psutil
from urllib.parse import urlsplit

def tell(isolated_emr, **more):
    directory = isolated_emr._session.directory
    keeper = json.loads((directory / "session.json").read_text())["keeper"]["pid"]
    facts = {
        "run_id": isolated_emr.run_id,
        "directory": str(directory),
        "port": urlsplit(isolated_emr.endpoint_url or "").port,
        "backend": isolated_emr.backend,
        "pids": {"keeper": keeper, "test": os.getpid(), **more},
    }
    with open(os.environ["TELL_PIPE"], "w") as pipe:
        json.dump(facts, pipe)

def wait_for_ever():
    os.read(os.pipe()[0], 1)
"""


@pytest.fixture
def told(tmp_path: Path, project: Path, request: pytest.FixtureRequest) -> Callable[[], Seen]:
    """Return what the next test that calls ``tell`` told; ``TELL_PIPE`` names where it tells it."""
    (project / "tell.py").write_text(TELL)
    with (project / "pytest.ini").open("a") as ini:
        ini.write("pythonpath = .\n")
    pipe = tmp_path / "tell"
    os.mkfifo(pipe)
    # Opened for both ways, so that nobody waits for the other to open it.
    descriptor = os.open(pipe, os.O_RDWR)

    def on_amazon(run_id: str) -> list[str]:
        it: Amazon = request.getfixturevalue("amazon")
        return it.things_of(run_id)

    def read() -> Seen:
        text = ""
        while True:
            assert select.select([descriptor], [], [], _PATIENCE)[0], "no test told anything"
            text += os.read(descriptor, 65536).decode()
            try:
                facts: dict[str, Any] = json.loads(text)
            except ValueError:
                continue
            return Seen(**facts | {"directory": Path(facts["directory"])}, on_amazon=on_amazon)

    return read
