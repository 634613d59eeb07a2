"""The heap's bound goes by the machine's memory and the workers, and gives way to the user's own."""

from __future__ import annotations

import pytest

from pytest_isolated_emr.spark import properties
from pytest_isolated_emr.spark.driver_memory import driver_memory

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
