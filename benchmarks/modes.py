"""The ways in which a suite is run: the peer's, and ours by what earlier runs have left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import spares
from benchmarks.homes import Homes
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE

PEER, COLD, ARCHIVE, WARM = "pytest-spark", "cold", "archive", "warm"
WITH_PEER = ["-p", "pytest_spark"]
IDLE = ["-p", "pytest_isolated_emr.plugin"]
WITH_US = [*IDLE, "--isolated-emr"]


@dataclass(frozen=True)
class Mode:
    """One way to run a suite.

    :param name: for the tables.
    :param arguments: pytest's.
    :param environ: variables of the run.
    :param home: the state root of the run.
    :param await_start: waits until a run can begin.
    """

    name: str
    arguments: list[str]
    environ: dict[str, str]
    home: Path
    await_start: Callable[[], object] = lambda: None


def modes_of(homes: Homes) -> list[Mode]:
    """Return all ways, the peer's first.

    :param homes: the state roots.
    """
    never = [*WITH_US, "--isolated-emr-warm=never"]
    return [
        Mode(PEER, WITH_PEER, {}, homes.archived),
        Mode(COLD, never, {HOME_VARIABLE: str(homes.cold)}, homes.cold),
        Mode(ARCHIVE, never, {HOME_VARIABLE: str(homes.archived)}, homes.archived),
        Mode(
            WARM,
            [*WITH_US, "--isolated-emr-warm=always"],
            {HOME_VARIABLE: str(homes.warm)},
            homes.warm,
            partial(spares.wait_until_ready, homes.warm),
        ),
    ]
