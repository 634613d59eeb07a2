from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_isolated_emr.lifecycle import processes
from pytest_isolated_emr.lifecycle.processes import (
    RUN_ID_VARIABLE,
    ProcessIdentity,
    become_subreaper,
    end_tree,
    processes_of,
    raise_oom_score,
    without_trees,
)

Start = Callable[..., "subprocess.Popen[str]"]

#: Starts a child that starts a child, each in a session of its own, then says the pids of both.
FAMILY = """
import subprocess, sys
grandchild = "import sys, time; print('ready', flush=True); time.sleep(60)"
child = f'''
import subprocess, sys, time
command = [sys.executable, "-c", {grandchild!r}]
other = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
other.stdout.readline()
print(other.pid, flush=True)
time.sleep(60)
'''
process = subprocess.Popen(
    [sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, start_new_session=True
)
line = process.stdout.readline()
print("ready", flush=True)
print(process.pid, line.strip(), flush=True)
sys.stdin.read()
"""


def family(start: Start, **options: object) -> list[ProcessIdentity]:
    parent = start(FAMILY, **options)
    assert parent.stdout is not None
    pids = [parent.pid, *map(int, parent.stdout.readline().split())]
    return [ProcessIdentity.of(pid) for pid in pids]


def test_an_identity_is_the_same_as_long_as_the_process_lives(start: Start) -> None:
    process = start()
    identity = ProcessIdentity.of(process.pid)
    assert identity == ProcessIdentity.of(process.pid)
    assert identity.is_alive()
    assert ProcessIdentity.from_dict(identity.to_dict()) == identity
    process.communicate()
    assert not identity.is_alive()
    with pytest.raises(ProcessLookupError):
        ProcessIdentity.of(process.pid)


def test_a_zombie_is_not_alive(start: Start) -> None:
    process = start()
    identity = ProcessIdentity.of(process.pid)
    process.kill()
    # Waits for its end and leaves the zombie there.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ProcessIdentity.of(process.pid) == identity
    assert not identity.is_alive()
    assert end_tree([identity]) == []


def test_a_name_with_parentheses_and_spaces_is_read_past(start: Start) -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') R 1 (x', 0, 0, 0);"
    process = start(code + "print('ready', flush=True); sys.stdin.read()")
    before = start()
    assert ProcessIdentity.of(process.pid).started <= ProcessIdentity.of(before.pid).started
    assert ProcessIdentity.of(process.pid).is_alive()


@pytest.mark.parametrize("change", [{"started": 1}, {"boot_id": "another"}])
def test_a_pid_that_is_anothers_by_now_is_left_alone(start: Start, change: dict[str, object]) -> None:
    process = start()
    reused = replace(ProcessIdentity.of(process.pid), **change)  # type: ignore[arg-type]
    assert not reused.is_alive()
    assert end_tree([reused], grace_seconds=1) == []
    assert process.poll() is None
    assert ProcessIdentity.of(process.pid).is_alive()


def test_a_pid_that_changes_hands_before_the_signal_is_left_alone(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start()
    stale = replace(ProcessIdentity.of(process.pid), started=1)
    # As if it had been found alive and had ended since.
    monkeypatch.setattr(processes, "_with_descendants", lambda roots, spared: {stale})
    assert end_tree([stale]) == []
    monkeypatch.setattr(processes, "_open_handle", lambda identity: None)
    assert end_tree([stale]) == []
    assert process.poll() is None


@pytest.mark.parametrize("fields", [{}, {"boot_id": "b", "pid": 0, "started": 1}, {"boot_id": 1, "pid": 1}])
def test_what_is_no_identity_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a process"):
        ProcessIdentity.from_dict(fields)


@pytest.mark.parametrize("handles", [True, False], ids=["pidfd", "plain"])
@pytest.mark.parametrize("grace", [0.0, 30.0])
def test_a_tree_ends_whole(
    start: Start, monkeypatch: pytest.MonkeyPatch, grace: float, handles: bool
) -> None:
    if not handles:
        monkeypatch.setattr(processes, "_open_handle", lambda identity: None)
    members = family(start)
    bystander = start()
    assert all(member.is_alive() for member in members)
    assert end_tree(members[:1], grace) == []
    assert not any(member.is_alive() for member in members)
    assert bystander.poll() is None


def test_a_process_that_ignores_sigterm_is_killed(start: Start) -> None:
    code = "import signal, sys; signal.signal(15, signal.SIG_IGN);"
    process = start(code + "print('ready', flush=True); sys.stdin.read()")
    assert end_tree([ProcessIdentity.of(process.pid)], grace_seconds=0.05) == []
    assert process.wait() == -9


def test_a_process_may_end_by_itself_first(start: Start) -> None:
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7));"
    process = start(code + "print('ready', flush=True); sys.stdin.read()")
    assert end_tree([ProcessIdentity.of(process.pid)], grace_seconds=30) == []
    assert process.wait() == 7


def test_children_that_are_being_started_meanwhile_end_too(start: Start) -> None:
    # A hundred children at most, none of which has any, and all end by themselves should the test be wrong.
    code = """
import os, signal
print("ready", flush=True)
for _ in range(100):
    if os.fork() == 0:
        signal.alarm(30)
        signal.pause()
        os._exit(0)
signal.alarm(30)
signal.pause()
"""
    run_id = "20261123t211623-9f3c2a"
    process = start(code, env={**os.environ, RUN_ID_VARIABLE: run_id})
    assert end_tree([ProcessIdentity.of(process.pid)]) == []
    assert processes_of(run_id) == []


def test_all_are_stopped_before_the_last_look_for_more(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is stopped forks no more, so a look that finds nothing new was the last one needed.
    done: list[str] = []
    send, look = processes._send, processes._children

    def record(member: ProcessIdentity, number: signal.Signals) -> None:
        done.append(number.name)
        send(member, number)

    monkeypatch.setattr(processes, "_send", record)
    monkeypatch.setattr(processes, "_children", lambda: (done.append("look"), look())[1])
    assert end_tree(family(start)[:1]) == []
    assert done == ["look", "look", *["SIGSTOP"] * 3, "look", *["SIGKILL"] * 3]


def test_what_is_spared_survives_with_its_descendants(start: Start) -> None:
    parent, child, grandchild = family(start)
    assert without_trees([parent, child, grandchild], [child]) == {parent}
    try:
        assert end_tree([parent], spared=[child]) == []
        assert not parent.is_alive()
        assert child.is_alive()
        assert grandchild.is_alive()
    finally:
        end_tree([child])


def test_the_caller_survives_the_end_of_its_own_ancestor(start: Start) -> None:
    code = """
import os, subprocess, sys
inner = '''
import os
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity, end_tree
parent = ProcessIdentity.of(os.getppid())
print("ready", flush=True)
print(end_tree([parent]), flush=True)
'''
subprocess.run([sys.executable, "-c", inner])
"""
    process = start(code)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "[]"
    assert process.wait() == -9


def test_marked_processes_are_found_whoever_started_them(start: Start) -> None:
    run_id = "20261123t211623-abcdef"
    members = family(start, env={**os.environ, RUN_ID_VARIABLE: run_id})
    start(env={**os.environ, RUN_ID_VARIABLE: run_id + "0"})
    # An orphan's parent says nothing of where it came from.
    os.kill(members[0].pid, 9)
    os.waitid(os.P_PID, members[0].pid, os.WEXITED | os.WNOWAIT)
    assert set(processes_of(run_id)) == set(members[1:])
    assert end_tree(processes_of(run_id)) == []
    assert processes_of(run_id) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no subreaper")
def test_a_subreaper_inherits_orphans() -> None:
    code = """
import os, subprocess, sys
from pytest_isolated_emr.lifecycle.processes import become_subreaper
assert become_subreaper()
innermost = "import sys; sys.stdin.read()"
inner = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {innermost!r}]).pid)"
done = subprocess.run([sys.executable, "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
pid = int(done.stdout)
assert os.waitpid(pid, 0)[0] == pid
"""
    subprocess.run([sys.executable, "-c", code], check=True, input="", text=True)
    assert sys.platform == "linux" or not become_subreaper()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such score")
def test_the_oom_score_rises_and_never_falls(start: Start) -> None:
    process = start()
    path = Path(f"/proc/{process.pid}/oom_score_adj")
    assert raise_oom_score(process.pid, 500)
    assert path.read_text().strip() == "500"
    assert raise_oom_score(process.pid, 100)
    assert path.read_text().strip() == "500"


def test_an_oom_score_that_cannot_be_set_is_no_error(start: Start) -> None:
    process = start()
    process.communicate()
    assert not raise_oom_score(process.pid)
