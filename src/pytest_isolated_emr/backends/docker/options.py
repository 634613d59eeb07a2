"""What the docker backend was asked for, and what it takes where nothing was said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_isolated_emr.backends.docker.engine import Engine

#: Spark's driver takes 1 GiB for its heap unless told otherwise; Python workers and the JVM's own come on top.
_LEAST_MEMORY = 2 * 2**30
_MOST_MEMORY = 4 * 2**30
#: What of the machine's memory the containers of tests' Sparks may take together, unless there are many.
_SHARE = 0.6


@dataclass(frozen=True)
class DockerOptions:
    """The settings of a session's containers.

    :param image: the image's name.
    :param python: the minor version of the client's Python, such as ``3.11``.
    :param spark: the version of the client's pyspark.
    :param memory: the most that a container may take, in bytes; None to choose by the machine.
    :param cpus: how many cores a container may use; None to choose by the machine.
    :param is_open: whether containers reach other networks.
    :param class_data: the directory with archives of classes for containers.
    """

    image: str
    python: str
    spark: str
    memory: int | None
    cpus: float | None
    is_open: bool
    class_data: Path

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> DockerOptions:
        """Read what the client sent."""
        return cls(**{**message, "class_data": Path(message["class_data"])})

    def memory_on(self, engine: Engine, workers: int) -> int:
        """Return the most that a container may take, in bytes.

        :param engine: whose machine it is.
        :param workers: how many xdist workers share that; 1 for none.
        """
        if self.memory is not None:
            return self.memory
        share = int(engine.memory * _SHARE / workers)
        return min(max(share, _LEAST_MEMORY), _MOST_MEMORY, engine.memory)

    def cpus_on(self, engine: Engine, workers: int) -> float:
        """Return how many cores a container may use.

        :param engine: whose machine it is.
        :param workers: how many xdist workers share that; 1 for none.
        """
        if self.cpus is not None:
            return min(self.cpus, engine.cpus)
        return max(1, engine.cpus // workers)
