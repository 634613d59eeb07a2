"""A run of the round while it runs, seen from outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.chaos.place import Place, pytest_command
from tests.chaos.plan import CLOCK, END, FEW_FILES, FEW_PORTS, SLOW_DISK, START, Run
from tests.chaos.proc import Process, all_processes, look_at
from tests.nobody import AS_NOBODY

RUN_ID = re.compile(r"\d{8}t\d{6}-[0-9a-f]{6}")

_FEW_PORTS = Path(__file__).with_name("few_ports.py")
_STEPPED_CLOCK = str(Path(__file__).with_name("stepped_clock"))
# Each of Debian's architectures has its own.
_FAKETIME = "".join(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")))
_LOOK_SECONDS = 0.02
_SYNC = "0.15s"


class StartedRun:
    """A run of pytest.

    :param number: its number in the round.
    :param run: what it is.
    :param place: where it is.
    """

    def __init__(self, number: int, run: Run, place: Place) -> None:
        self.number = number
        self.run = run
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None
        self._started = threading.Event()
        self.over = threading.Event()
        #: When it had ended, by the monotonic clock.
        self.ended = 0.0
        self.code: int | None = None
        self.is_hanging = False

    def start(self) -> None:
        """Start it."""
        place = self._place
        environ = place.environ(self.number)
        if self.run.surroundings == CLOCK:
            environ |= {
                "LD_PRELOAD": _FAKETIME,
                "FAKETIME_TIMESTAMP_FILE": str(place.clock),
                "FAKETIME_NO_CACHE": "1",
                # The kernel's monotonic clock has no steps.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                # It is for older libraries of C. Here a thread that waits for Python's lock with a time limit would wait for
                # none at all, and two threads of a process keep each other from their work.
                "FAKETIME_FORCE_MONOTONIC_FIX": "0",
                "PYTHONPATH": os.pathsep.join(filter(None, [_STEPPED_CLOCK, environ.get("PYTHONPATH")])),
            }
        with place.output(self.number).open("wb") as output:
            self._process = subprocess.Popen(
                [*self._wrapper(), *pytest_command(self.run.options)],
                cwd=place.project(self.number),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.set()

    def wait(self, seconds: float) -> None:
        """Wait for its end; one that does not end is killed, and is said to hang.

        :param seconds: how long it may take.
        """
        assert self._process is not None
        try:
            self.code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.is_hanging = True
            self._process.kill()
            self.code = self._process.wait()
        self.ended = time.monotonic()
        self.over.set()

    def kill(self) -> None:
        """End it, if it still runs."""
        if self._process is not None:
            self._process.kill()

    def await_moment(self, moment: str) -> bool:
        """Wait for a moment of it; tell whether it has come.

        :param moment: of the plan's.
        """
        self._started.wait()
        if moment == START:
            return True
        while True:
            is_over = self.over.is_set()
            if moment == END:
                if is_over:
                    return True
            elif any(facts["what"] == moment for facts in self.told()):
                return True
            if is_over:
                return False
            self.over.wait(_LOOK_SECONDS)

    def told(self) -> list[dict[str, Any]]:
        """Return what it told of itself."""
        return [json.loads(path.read_text()) for path in self._place.told(self.number).glob("*.json")]

    @property
    def is_started(self) -> bool:
        """Whether there is a process of it, or was."""
        return self._started.is_set()

    @property
    def pid(self) -> int:
        """Pytest's own."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._place.output(self.number).read_text(errors="replace")

    def pytest(self) -> list[Process]:
        """Return pytest's process; nothing if it has ended."""
        found = look_at(self.pid)
        # Before that, it is what gives it its surroundings.
        return [found] if found is not None and "pytest" in found.command.split("few_ports")[0] else []

    def workers(self) -> list[Process]:
        """Return xdist's workers."""
        return [each for each in _children(self.pid) if "sys.stdin.readline" in each.command]

    def keepers(self) -> list[Process]:
        """Return its keeper, if it started one or said which one it has."""
        ids = self.run_ids()
        return [
            each
            for each in all_processes()
            if is_keeper(each) and (each.parent == self.pid or any(map(each.mentions, ids)))
        ]

    def run_ids(self) -> set[str]:
        """Return the ids that it said it has."""
        return {facts["run_id"] for facts in self.told() if "run_id" in facts}

    def _wrapper(self) -> list[str]:
        room = str(self.run.room)
        wrapper = {
            FEW_FILES: ["prlimit", f"--nofile={room}:{room}"],
            FEW_PORTS: ["unshare", "--net", sys.executable, str(_FEW_PORTS), room],
            SLOW_DISK: [
                # It traces from beside, so that pytest is still the child whose end is waited for.
                *("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"),
                *("-e", "trace=fsync,fdatasync,rename,unlinkat"),
                *("-e", f"inject=fsync,fdatasync:delay_enter={_SYNC}"),
                *("-e", "inject=rename,unlinkat:delay_enter=5ms"),
            ],
        }.get(self.run.surroundings, [])
        return [*AS_NOBODY, *wrapper] if self._place.is_of_nobody else wrapper


def is_keeper(process: Process) -> bool:
    """Tell whether a process is a keeper, or about to be one."""
    return "-m pytest_isolated_emr.keeper" in process.command


def is_spare(process: Process) -> bool:
    """Tell whether a process is a keeper that nobody had when it started."""
    return is_keeper(process) and process.command.endswith(" ahead")


def _children(pid: int) -> list[Process]:
    return [each for each in all_processes() if each.parent == pid]


def descendants(process: Process) -> list[Process]:
    """Return what a process has started, and what that has."""
    everything = all_processes()
    found, parents = [], {process.pid}
    while parents:
        children = [each for each in everything if each.parent in parents]
        found += children
        parents = {each.pid for each in children}
    return found
