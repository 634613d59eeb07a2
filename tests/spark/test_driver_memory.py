"""The heap's bound goes by the machine's memory and the workers, and gives way to the user's own."""

from __future__ import annotations

import psutil
import pytest

from pytest_isolated_emr.spark import properties
from pytest_isolated_emr.spark.driver_memory import driver_memory, usable_memory

_GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory", "workers", "heap"),
    [
        (64 * _GIB, "1", "2048m"),
        (8 * _GIB, "2", "2048m"),
        (8 * _GIB, "4", "1024m"),
        (2 * _GIB, "1", "1024m"),
        (8 * _GIB, "16", "512m"),
        (_GIB // 2, "1", "512m"),
    ],
)
def test_it_is_a_share_of_half_of_the_memory_within_bounds(memory, workers, heap):
    environ = {"PYTEST_XDIST_WORKER_COUNT": workers}
    assert driver_memory(environ, memory) == {"spark.driver.memory": heap}


def test_without_xdist_there_is_one_worker():
    assert driver_memory({}, 3 * _GIB) == {"spark.driver.memory": "1536m"}


@pytest.mark.parametrize("name", ["SPARK_DRIVER_MEMORY", "SPARK_MEM"])
def test_a_variable_of_the_users_decides_alone(name):
    assert driver_memory({name: "3g"}, 64 * _GIB) == {}


def test_a_setting_of_the_users_wins():
    own = driver_memory({}, 64 * _GIB)
    assert properties.merged(own, {"spark.driver.memory": "700m"}) == {"spark.driver.memory": "700m"}


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
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    (tmp_path / "own").write_text(f"{own}\n")
    expected = psutil.virtual_memory().total if least is None else least
    assert usable_memory(tmp_path, tmp_path / "own") == expected


def test_where_there_are_no_control_groups_it_is_the_machines(tmp_path):
    assert usable_memory(tmp_path, tmp_path / "none") == psutil.virtual_memory().total
    assert usable_memory() <= psutil.virtual_memory().total
