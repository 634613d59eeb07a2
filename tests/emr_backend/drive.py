"""The process of one session: started, told what to do, listened to, and killed where the case says so."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from tests.emr_backend.aws_proxy import AwsProxy
from tests.emr_backend.cases import Case
from tests.emr_backend.one_session import Order
from tests.emr_backend.somebody import Somebody

ROOT = Path(__file__).resolve().parents[2]
#: Much longer than any of it takes, in seconds: what takes longer hangs.
LONGEST = 180.0
#: So long a session may take until its cluster is launched; one at which something goes wrong may never get there.
_LAUNCH = 5.0


class Drive:
    """Drives the session's process, and kills what is to be killed."""

    def __init__(
        self,
        case: Case,
        environ: dict[str, str],
        order: Order,
        proxy: AwsProxy,
        somebody: Somebody,
    ) -> None:
        self._case = case
        self._proxy = proxy
        self._order = order
        self._somebody = somebody
        self._run_id = self._cluster_id = ""
        if case.kill_at_line:
            environ = environ | {"ISOLATED_EMR_TESTS_KILL": case.kill_at_line}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.emr_backend.one_session"],
            env=environ,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> list[dict[str, Any]]:
        """Return what the user was told.

        :raises subprocess.TimeoutExpired: it, or its keeper, does not end.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        told: list[dict[str, Any]] = []
        deadline = _Deadline(process)
        try:
            process.stdin.write(self._order.to_line())
            process.stdin.flush()
            for line in process.stdout:
                event = json.loads(line)
                told.append(event)
                self._at(event)
            process.wait()
        finally:
            deadline.cancel()
        assert process.stderr is not None
        errors = process.stderr.read()
        if deadline.is_over:
            raise subprocess.TimeoutExpired("one_session", LONGEST)
        if process.returncode not in (0, -9):
            told.append({"event": "crash", "what": errors})
        return told

    def kill_keeper(self) -> None:
        """Kill the keeper, and return when it is gone."""
        for keeper in self._keepers():
            with contextlib.suppress(psutil.NoSuchProcess):
                keeper.kill()
                _wait_for(keeper)

    def _at(self, event: dict[str, Any]) -> None:
        moment = event["event"]
        if moment == "opened":
            self._run_id = event["run_id"]
        if moment == "ready":
            self._cluster_id = event["cluster_id"]
            self._somebody.when_ready(self._run_id, self._cluster_id)
        if moment == "ending" and self._somebody.acts_at_the_end and self._cluster_id:
            self._somebody.at_the_end(self._cluster_id)
        if moment == "asked" and "asked" in self._order.pauses:
            self._wait_for_launch()
            moment = "launched"
        if moment == self._case.client_dies:
            keepers = self._keepers()
            self._process.kill()
            for keeper in keepers:
                # Nobody tells it but its lifeline.
                _wait_for(keeper)
            return
        if event["event"] in self._order.pauses:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write("\n")
                self._process.stdin.flush()

    def _wait_for_launch(self) -> None:
        """Wait until the cluster is launched, if it ever is."""
        end = time.monotonic() + _LAUNCH
        while time.monotonic() < end and not self._proxy.calls("RunJobFlow"):
            time.sleep(0.01)

    def _keepers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._process.pid).children()
            return [child for child in children if "pytest_isolated_emr.keeper" in child.cmdline()]
        return []


def _wait_for(process: psutil.Process) -> None:
    """Wait until a process that may be anybody's child has ended, reaped or not."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.02)
    raise subprocess.TimeoutExpired("the keeper", LONGEST)


class _Deadline:
    """Kills a process that takes too long."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.is_over = False
        self._process = process
        self._timer = threading.Timer(LONGEST, self._end)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        self._process.kill()
