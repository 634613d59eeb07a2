"""Removing what dead sessions left in the engine: what their journals name, and what their labels prove."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.docker import container, network
from pytest_isolated_emr.backends.docker.engine import Engine, engine_errors
from pytest_isolated_emr.backends.docker.names import RUN_ID_LABEL
from pytest_isolated_emr.lifecycle.journal import Resource


def remove_container(run_id: str, resource: Resource) -> None:
    """Remove a container of a dead session.

    :param run_id: the session's; its labels have to say the same.
    :param resource: the container, as the journal has it.
    :raises PermissionError: it is another's.
    :raises IsolatedEmrError: the engine cannot.
    """
    with _engine_of(resource) as engine:
        container.remove_container(engine, _which(resource), run_id)


def remove_network(run_id: str, resource: Resource) -> None:
    """Remove the network of a dead session, and containers that the engine was still making when its keeper was killed.

    :param run_id: the session's; its labels have to say the same.
    :param resource: the network, as the journal has it.
    :raises PermissionError: it is another's.
    :raises IsolatedEmrError: the engine cannot.
    """
    with _engine_of(resource) as engine:
        with engine_errors(f"looking for containers of {run_id}"):
            late = engine.api.containers(all=True, quiet=True, filters={"label": f"{RUN_ID_LABEL}={run_id}"})
        for found in late:
            container.remove_container(engine, found["Id"], run_id)
        network.remove_network(engine, _which(resource), run_id)


def _which(resource: Resource) -> str:
    # Without an id it was only intended; the name is as unique.
    return str(resource.facts.get("id") or resource.name)


@contextmanager
def _engine_of(resource: Resource) -> Iterator[Engine]:
    engine = Engine.connect()
    try:
        # Docker's context, or DOCKER_HOST, may name another one today.
        if resource.facts.get("engine") != engine.id:
            raise errors.EngineUnavailable(
                "The engine that answers is not the one that it was made on.",
                checked=f"the engine's ID is {engine.id}, the journal has {resource.facts.get('engine')}",
                cure="Sweep with the DOCKER_HOST or the Docker context of the run.",
            )
        yield engine
    finally:
        engine.close()
