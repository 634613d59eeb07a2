"""The backends: where Spark runs."""

from __future__ import annotations

from collections.abc import Callable

from pytest_isolated_emr.backends.base import Backend, BackendContext
from pytest_isolated_emr.backends.docker.backend import DockerBackend
from pytest_isolated_emr.backends.local import LocalBackend

#: Name, as the option has it, and what makes one.
BACKENDS: dict[str, Callable[[BackendContext], Backend]] = {"local": LocalBackend, "docker": DockerBackend}
