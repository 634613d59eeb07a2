"""What is made for later yields to what is at work, where that can be taken back; and is not made where memory is short."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pytest_isolated_emr.keeper import spare as spare_module
from pytest_isolated_emr.keeper import start_ahead as start_ahead_module
from pytest_isolated_emr.keeper.spare import Spare
from pytest_isolated_emr.keeper.spare_order import SpareOrder
from pytest_isolated_emr.keeper.start_ahead import start_ahead
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot
from pytest_isolated_emr.lifecycle.state_root import StateRoot

# A process with threads, and a child with threads that leads a group as those of a keeper do.
PROCESSES = """
import json, os, subprocess, sys, threading
from pytest_isolated_emr.keeper.priority import lower_priority, restore_priority

THREADS = '''
import sys, threading
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
'''

def values(pid):
    return sorted({os.getpriority(os.PRIO_PROCESS, int(each)) for each in os.listdir(f"/proc/{pid}/task")})

os.setsid()
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
usual = lower_priority()
child = subprocess.Popen([sys.executable, "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
# Of this process only the thread that starts all others, which have its value.
lowered = [os.getpriority(os.PRIO_PROCESS, 0), *values(child.pid)]
restore_priority(usual)
print(json.dumps([usual, lowered, values(os.getpid()), values(child.pid)]))
child.kill()
"""


def run(*before: str) -> tuple[int, list[int], list[int], list[int]]:
    result = subprocess.run(
        [*before, sys.executable, "-c", PROCESSES],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, result.stderr
    return tuple(json.loads(result.stdout))


NO_CAPABILITY = ("setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice", "--")
IS_ROOT = os.geteuid() == 0

#: The commands that it runs by, its value there, and whether it may lower that and take it back.
KINDS = {
    "usual": ((), 0, IS_ROOT),
    "lower already": (("nice", "-n", "5"), 5, IS_ROOT),
}
if IS_ROOT:
    KINDS["may not"] = (NO_CAPABILITY, 0, False)


@pytest.mark.parametrize(("before", "usual", "may_return"), KINDS.values(), ids=KINDS)
def test_it_is_lowered_and_given_back_to_all_threads_or_left(before, usual, may_return):
    found, lowered, own, childs = run(*before)
    assert found == usual
    assert lowered == ([19, 19] if may_return else [usual, usual])
    assert own == childs == [usual]


@pytest.fixture
def root(tmp_path: Path) -> StateRoot:
    root = StateRoot(tmp_path / "state")
    root.open()
    return root


ORDER = SpareOrder("0" * 32, 60.0, {"cwd": "/"}, {})


def with_memory(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    """Have this process believe that so much memory is free; the machine's own cannot be taken from others' tests."""
    found = psutil.virtual_memory()._replace(available=available)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: found)


def test_none_is_started_where_memory_is_short(root, monkeypatch):
    with_memory(monkeypatch, spare_module.LEAST_MEMORY)
    start_ahead(ORDER, root)
    assert not root.spares.exists()


class _Whole:
    """Stands for a backend and an AWS of which nothing is started."""

    async def ready(self) -> None:
        return


def test_one_that_waits_ends_where_memory_becomes_short(root, monkeypatch):
    monkeypatch.setattr(spare_module, "_LOOK_SECONDS", 0.01)

    async def wait() -> object:
        slot = SpareSlot(root, ORDER.key)
        assert slot.take()
        spare = Spare(ORDER, {"directory": str(root.path)}, None, _Whole())  # type: ignore[arg-type]
        waiting = asyncio.create_task(spare.wait(slot, "20261127t043215-a81125"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        with_memory(monkeypatch, spare_module.LEAST_MEMORY - 1)
        return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(wait()) is None


def test_what_was_refused_for_a_secret_is_no_failure(root):
    log = SpareSlot(root, ORDER.key).log
    root.spares.mkdir()
    for text, has_failed in (
        (f"{start_ahead_module._REFUSED}: X\n", False),
        ("", False),
        ("Traceback\n", True),
    ):
        log.write_text(text)
        assert start_ahead_module._has_failed(log) is has_failed
