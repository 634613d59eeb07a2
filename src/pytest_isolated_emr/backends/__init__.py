"""The backends: where Spark runs. Each is imported by whoever has chosen it: that of another has much that it does not need."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_isolated_emr.backends.base import AwsBackend, BackendContext, CommandBackend
    from pytest_isolated_emr.lifecycle.journal import Resource
    from pytest_isolated_emr.lifecycle.sweep import Remover

#: Name, as the option has it, and class.
BACKENDS = {
    "local": "pytest_isolated_emr.backends.local:LocalBackend",
    "docker": "pytest_isolated_emr.backends.docker.backend:DockerBackend",
    "emr": "pytest_isolated_emr.backends.emr.backend:EmrBackend",
}
#: What a backend leaves outside of a dead session's directory, by its kind in the journal, and what removes it.
_REMOVERS = {
    "container": "pytest_isolated_emr.backends.docker.removers:remove_container",
    "network": "pytest_isolated_emr.backends.docker.removers:remove_network",
}
#: The same on AWS: of the user's own account, which runs on this machine alone have no business with.
_AWS_REMOVERS = {
    "emr-cluster": "pytest_isolated_emr.backends.emr.removers:remove_cluster",
    "emr-slot": "pytest_isolated_emr.backends.emr.removers:remove_slot",
    "emr-prefix": "pytest_isolated_emr.backends.emr.removers:remove_prefix",
}


def make_backend(name: str, context: BackendContext) -> CommandBackend | AwsBackend:
    """Return a session's backend.

    :param name: as the option has it.
    :param context: the session.
    """
    backend: CommandBackend | AwsBackend = pkgutil.resolve_name(BACKENDS[name])(context)
    return backend


def removers() -> dict[str, Remover]:
    """Return what removes the things that backends left, by their kind."""
    return {**machine_removers(), **_imported(_AWS_REMOVERS)}


def machine_removers() -> dict[str, Remover]:
    """The same, but for what was left on AWS."""
    return _imported(_REMOVERS)


def _imported(places: dict[str, str]) -> dict[str, Remover]:
    return {kind: _imported_when_needed(place) for kind, place in places.items()}


def _imported_when_needed(place: str) -> Remover:
    def remove(run_id: str, resource: Resource) -> None:
        pkgutil.resolve_name(place)(run_id, resource)

    return remove
