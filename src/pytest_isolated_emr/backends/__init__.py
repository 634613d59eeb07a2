"""The backends: where Spark runs. Each is imported by whoever has chosen it: that of another has much that it does not need."""

from __future__ import annotations

import pkgutil

from pytest_isolated_emr.backends.base import Backend, BackendContext
from pytest_isolated_emr.lifecycle.journal import Resource
from pytest_isolated_emr.lifecycle.sweep import Remover

#: Name, as the option has it, and class.
BACKENDS = {
    "local": "pytest_isolated_emr.backends.local:LocalBackend",
    "docker": "pytest_isolated_emr.backends.docker.backend:DockerBackend",
}
#: What a backend leaves outside of a dead session's directory, by its kind in the journal, and what removes it.
_REMOVERS = {
    "container": "pytest_isolated_emr.backends.docker.removers:remove_container",
    "network": "pytest_isolated_emr.backends.docker.removers:remove_network",
}


def make_backend(name: str, context: BackendContext) -> Backend:
    """Return a session's backend.

    :param name: as the option has it.
    :param context: the session.
    """
    backend: Backend = pkgutil.resolve_name(BACKENDS[name])(context)
    return backend


def removers() -> dict[str, Remover]:
    """Return what removes the things that backends left, by their kind."""
    return {kind: _imported_when_needed(place) for kind, place in _REMOVERS.items()}


def _imported_when_needed(place: str) -> Remover:
    def remove(run_id: str, resource: Resource) -> None:
        pkgutil.resolve_name(place)(run_id, resource)

    return remove
