"""The network of one session: a bridge of its own, without a way out."""

from __future__ import annotations

import contextlib
from typing import Any

from pytest_isolated_emr import errors
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
        self._is_late = False
        self.network: Any = None

    def create(self) -> None:
        """Make it.

        :raises EngineFailed: the engine cannot make one.
        """
        name = name_of(self._run_id)
        self._entry = self._journal.intend(KIND, name, engine=self._engine.id)
        try:
            self._create(name)
        except errors.EngineSlow:
            # It may be made at any time from now on.
            self._is_late = True
            raise
        self._journal.created(self._entry, id=self.network.id)

    def _create(self, name: str) -> None:
        options = {
            "driver": "bridge",
            "labels": labels_of(self._run_id, "network"),
            # Without it, packets to other networks keep an address to which nobody answers
            # (https://docs.docker.com/engine/network/drivers/bridge/#options).
            "options": {"com.docker.network.bridge.enable_ip_masquerade": str(self._is_open).lower()},
        }
        with engine_errors("making the session's network"):
            self.network = self._engine.client.client_networks_create(name, options)
            found = self._engine.api.inspect_network(self.network.id)
        #: This machine's address in it.
        self.gateway: str = next(
            config["Gateway"] for config in found["IPAM"]["Config"] if ":" not in config.get("Gateway", ":")
        )

    def remove(self) -> None:
        """Remove it; no container is in it any more."""
        if self._entry is None:
            return
        # By its name: it may be there although the engine's answer was lost.
        was_there = remove_network(self._engine, name_of(self._run_id), self._run_id)
        if not was_there and self._is_late:
            raise errors.EngineSlow(
                "The engine may still be making the session's network.",
                checked=f"making the network {name_of(self._run_id)} took longer than the engine was waited for",
                cure="`isolated-emr sweep --delete` removes it later.",
            )
        self._journal.removed(self._entry)


def remove_network(engine: Engine, which: str, run_id: str) -> bool:
    """Remove a network if it is there and a session's.

    :param engine: where it is.
    :param which: its id or name.
    :param run_id: the session's.
    :returns: whether it was there.
    :raises PermissionError: its labels do not say so.
    :raises IsolatedEmrError: the engine cannot.
    """
    from docker.errors import NotFound

    try:
        with engine_errors(f"removing the network {which}"):
            found = engine.api.inspect_network(which)
            if not is_of(run_id, found.get("Labels")):
                raise PermissionError(f"its labels do not say that it is of {run_id}")
            for container in found.get("Containers") or {}:
                # The user's own, say: it stays, but not in here. Or one that goes just now.
                with contextlib.suppress(NotFound):
                    engine.api.disconnect_container_from_network(container, which, force=True)
            engine.api.remove_network(which)
    except NotFound:
        return False
    return True
