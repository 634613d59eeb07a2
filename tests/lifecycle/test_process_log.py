"""The log of a process on a disk that is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys, traceback
from pytest_isolated_emr.lifecycle.process_log import log_what_can_be_written
if "lossy" in sys.argv:
    log_what_can_be_written()
try:
    1 / 0
except ZeroDivisionError:
    traceback.print_exc()
print("and more", flush=True)
os.write(3, b"goes on")
"""


def said(log: Path, *arguments: str) -> str:
    """Return what the program says elsewhere than in its log."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with log.open("ab") as file:
        process = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" 3>&1 >&2', "sh", *command],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            check=False,
        )
    return process.stdout


def test_who_logs_on_a_full_disk_goes_on() -> None:
    assert said(Path("/dev/full"), "lossy") == "goes on"
    # As Python has it.
    assert said(Path("/dev/full")) == ""


def test_what_can_be_written_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert said(log, "lossy") == "goes on"
    assert "ZeroDivisionError" in log.read_text()
    assert log.read_text().endswith("and more\n")
