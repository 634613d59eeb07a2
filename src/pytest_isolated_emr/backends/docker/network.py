"""The network of one session: a bridge of its own, without a way out."""

from __future__ import annotations

import contextlib
from typing import Any

from pytest_isolated_emr.backends.docker.engine import Engine, engine_errors
from pytest_isolated_emr.backends.docker.names import is_of, labels_of, name_of
from pytest_isolated_emr.lifecycle.journal import Journal

KIND = "network"


class SessionNetwork:
    """The network that all containers of a session are in.

    :param engine: where it is made.
    :param journal: the session's.
    :param run_id: the session's.
    :param is_open: whether containers reach other networks by way of this machine.
    """

    def __init__(self, engine: Engine, journal: Journal, run_id: str, *, is_open: bool) -> None:
        self._engine = engine
        self._journal = journal
        self._run_id = run_id
        self._is_open = is_open
        self._entry: int | None = None
        self.network: Any = None

    def create(self) -> None:
        """Make it.

        :raises EngineFailed: the engine cannot make one.
        """
        from testcontainers.core.network import Network

        name = name_of(self._run_id)
        self._entry = self._journal.intend(KIND, name)
        with engine_errors("making the session's network"):
            self.network = Network(
                docker_network_kw={
                    "driver": "bridge",
                    "labels": labels_of(self._run_id, "network"),
                    # Without it, packets to other networks keep an address to which nobody answers
                    # (https://docs.docker.com/engine/network/drivers/bridge/#options).
                    "options": {"com.docker.network.bridge.enable_ip_masquerade": str(self._is_open).lower()},
                }
            )
            self.network.name = name
            self.network.create()
            found = self._engine.api.inspect_network(self.network.id)
        self._journal.created(self._entry, id=self.network.id)
        #: This machine's address in it.
        self.gateway: str = found["IPAM"]["Config"][0]["Gateway"]

    def remove(self) -> None:
        """Remove it; no container is in it any more."""
        if self._entry is None:
            return
        # By its name: it may be there although the engine's answer was lost.
        remove_network(self._engine, name_of(self._run_id), self._run_id)
        self._journal.removed(self._entry)


def remove_network(engine: Engine, which: str, run_id: str) -> None:
    """Remove a network if it is there and a session's.

    :param engine: where it is.
    :param which: its id or name.
    :param run_id: the session's.
    :raises PermissionError: its labels do not say so.
    :raises IsolatedEmrError: the engine cannot.
    """
    from docker.errors import NotFound

    with contextlib.suppress(NotFound), engine_errors(f"removing the network {which}"):
        found = engine.api.inspect_network(which)
        if not is_of(run_id, found.get("Labels")):
            raise PermissionError(f"its labels do not say that it is of {run_id}")
        for container in found.get("Containers") or {}:
            # The user's own, say: it stays, but not in here.
            engine.api.disconnect_container_from_network(container, which, force=True)
        engine.api.remove_network(which)
