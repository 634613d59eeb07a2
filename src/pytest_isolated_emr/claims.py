"""What a session claims of the machine before it starts: by the processes of Spark that it will have."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pytest_isolated_emr.given_settings import option
from pytest_isolated_emr.lifecycle import admission
from pytest_isolated_emr.lifecycle.admission import Claim
from pytest_isolated_emr.lifecycle.memory import usable_memory
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_VARIABLE
from pytest_isolated_emr.session import SESSION_VARIABLE
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.driver_memory import heap_of

# pytest, the keeper and the endpoint; what a JVM has besides its heap, and its Python workers; in bytes.
_BASE, _BESIDE_HEAP = 256 << 20, 512 << 20


def claim_of_run(config: pytest.Config, settings: Settings) -> dict[str, Any] | None:
    """Return what a test run claims, as the keeper reads it; None for one inside of another session, which has claimed.

    :param config: pytest's, as early as ``pytest_load_initial_conftests``.
    :param settings: what was asked for.
    """
    # Nothing of it runs before the first test.
    return _claim(settings, 0 if option(config, "collectonly") else _workers(config))


def claim_of_command(settings: Settings) -> dict[str, Any] | None:
    """Return what a command line's session claims, which has one Spark; None inside of another session.

    :param settings: what was asked for.
    """
    return _claim(settings, 1)


def _claim(settings: Settings, sparks: int) -> dict[str, Any] | None:
    if RUN_ID_VARIABLE in os.environ or SESSION_VARIABLE in os.environ:
        return None
    if settings.emr is not None:
        # Its Spark is on a cluster.
        sparks = 0
    machine = admission.machine()
    each = heap_of(usable_memory(), max(1, sparks)) + _BESIDE_HEAP
    claim = Claim(min(_BASE + sparks * each, machine.memory), min(sparks, machine.cores))
    return {"memory": claim.memory, "cores": claim.cores, "seconds": settings.wait}


def _workers(config: pytest.Config) -> int:
    """Return how many processes of a run have a Spark: its own, or those of xdist."""
    found = option(config, "numprocesses")
    if found is None:
        return max(1, len(option(config, "tx") or ()))
    # xdist has words for as many as there are processors.
    return max(1, found if isinstance(found, int) else os.cpu_count() or 1)
