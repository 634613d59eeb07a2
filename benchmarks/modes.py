"""The ways in which a suite is run: the peer's, and ours by what earlier runs have left."""

from __future__ import annotations

from dataclasses import dataclass
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
    :param is_warm: whether each run leaves a spare, which the next one of the same suite claims.
    """

    name: str
    arguments: list[str]
    environ: dict[str, str]
    home: Path
    is_warm: bool = False

    def await_spare(self) -> None:
        """Wait until the next run has its spare, if it is to have one."""
        if self.is_warm:
            spares.wait_until_ready(self.home)

    def end_spares(self) -> None:
        """End the spares that runs left."""
        if self.is_warm:
            spares.end_all(self.home)


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
            is_warm=True,
        ),
    ]
