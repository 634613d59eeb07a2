"""Memory is what the control groups of this process leave of the machine's."""

from __future__ import annotations

import psutil
import pytest

from pytest_isolated_emr.lifecycle.memory import available_memory, usable_memory


def write(directory, own, files):
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"{text}\n")
    (directory / "own").write_text(f"{own}\n")


@pytest.mark.parametrize(
    ("own", "files", "least"),
    [
        ("0::/", {"memory.max": "1000"}, 1000),
        ("0::/a/b", {"a/memory.max": "2000", "a/b/memory.max": "max"}, 2000),
        # A container sees the host's path, and its own limit at the top.
        ("0::/system.slice/docker-1.scope", {"memory.max": "3000"}, 3000),
        ("5:cpu:/x\n4:memory:/a", {"memory/a/memory.limit_in_bytes": "4000", "x/memory.max": "1"}, 4000),
        ("4:cpuacct,memory:/a", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("0::/a", {"a/memory.max": "max", "other/memory.max": "1"}, None),
    ],
)
def test_the_limit_of_a_control_group_holds(tmp_path, own, files, least):
    write(tmp_path, own, files)
    expected = psutil.virtual_memory().total if least is None else least
    assert usable_memory(tmp_path, tmp_path / "own") == expected


def test_where_there_are_no_control_groups_it_is_the_machines(tmp_path):
    assert usable_memory(tmp_path, tmp_path / "none") == psutil.virtual_memory().total
    assert usable_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a", {"a/memory.max": "1000", "a/memory.current": "300"}, 700),
        # What the kernel holds of files is given back.
        (
            "0::/a",
            {
                "a/memory.max": "1000",
                "a/memory.current": "900",
                "a/memory.stat": "anon 300\ninactive_file 600\nactive_file 5",
            },
            700,
        ),
        # The group around it has less left.
        (
            "0::/a/b",
            {
                "a/memory.max": "1000",
                "a/memory.current": "900",
                "a/b/memory.max": "1000",
                "a/b/memory.current": "0",
            },
            100,
        ),
        (
            "4:memory:/a",
            {
                "memory/a/memory.limit_in_bytes": "1000",
                "memory/a/memory.usage_in_bytes": "900",
                "memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 200",
            },
            300,
        ),
        ("0::/a", {"a/memory.max": "1000", "a/memory.current": "1500"}, 0),
    ],
)
def test_what_a_control_group_uses_is_not_available(tmp_path, own, files, expected):
    write(tmp_path, own, files)
    assert available_memory(tmp_path, tmp_path / "own") == expected


def test_without_a_limit_as_much_is_available_as_on_the_machine(tmp_path, monkeypatch):
    write(tmp_path, "0::/a", {"a/memory.max": "max", "a/memory.current": "1500"})
    machine = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    assert available_memory(tmp_path, tmp_path / "own") == machine.available
