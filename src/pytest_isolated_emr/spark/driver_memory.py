"""How large the heap of a session's Spark may grow: by the machine's memory and the workers that share it.

A heap grows as it is used, so a high bound costs nothing in a suite that needs little. What it decides is which comes first
where memory is short, an error of Spark's or the kernel's end of a process.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Spark does not start with less than 450 MB.
LEAST = 512 << 20
MOST = 2 << 30
# The rest is for what a JVM has besides its heap, Python, the endpoint, and whatever else runs here.
_SHARE = 0.5
#: By these a user tells Spark's launcher the same.
_VARIABLES = ("SPARK_DRIVER_MEMORY", "SPARK_MEM")


def driver_memory(environ: Mapping[str, str], memory: int) -> dict[str, str]:
    """Return the setting of the heap's bound, none where the environment says it.

    :param environ: the user's own environment, where xdist says how many workers there are.
    :param memory: the memory that all of them share, in bytes.
    """
    if any(environ.get(name) for name in _VARIABLES):
        return {}
    heap = heap_of(memory, max(1, int(environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
    return {"spark.driver.memory": f"{heap >> 20}m"}


def heap_of(memory: int, workers: int) -> int:
    """Return the bound of the heap of each of some workers, in bytes.

    :param memory: what they share, in bytes.
    :param workers: how many there are.
    """
    return min(max(int(memory * _SHARE) // workers, LEAST), MOST)
