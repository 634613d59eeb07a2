"""The backends: where Spark runs."""

from __future__ import annotations

from collections.abc import Callable

from pytest_isolated_emr.backends.base import Backend, BackendContext
from pytest_isolated_emr.backends.docker.backend import DockerBackend
from pytest_isolated_emr.backends.docker.removers import REMOVERS as DOCKER_REMOVERS
from pytest_isolated_emr.backends.local import LocalBackend
from pytest_isolated_emr.lifecycle.sweep import Remover

#: Name, as the option has it, and what makes one.
BACKENDS: dict[str, Callable[[BackendContext], Backend]] = {"local": LocalBackend, "docker": DockerBackend}

#: What removes the things that backends left outside of a dead session's directory, by their kind in the journal.
REMOVERS: dict[str, Remover] = {**DOCKER_REMOVERS}
