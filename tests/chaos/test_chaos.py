"""Whatever befalls runs on this machine, the eight promises hold. The campaign (``campaign.py``) has many more rounds than these."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaign import missing, report
from tests.chaos.one_round import run_round
from tests.chaos.plan import DOCKER, PLAIN, SPARK, Round

# The same each time, so that a failure is nobody's bad luck. Others are the campaign's. Each kind of fault is in one of them.
SEEDS = {PLAIN: (3, 34, 53, 68, 106, 112, 159, 181), SPARK: (3,)}

# That it ends is seen here; how soon, in the campaign, which has the machine for itself.
_PATIENCE_SECONDS = 120.0


def test_this_machine_has_what_the_rounds_need():
    assert missing() == ""


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        *((kind, seed) for kind, seeds in SEEDS.items() for seed in seeds),
        pytest.param(PLAIN, 56, marks=pytest.mark.thorough),
        pytest.param(SPARK, 6, marks=pytest.mark.thorough),
        pytest.param(DOCKER, 1, marks=pytest.mark.thorough),
    ],
)
def test_a_round(kind: str, seed: int, set_of_jars: Path):
    result = run_round(Round.of_seed(seed, kind), set_of_jars, _PATIENCE_SECONDS)
    assert result.violations == [], report(result)


def test_the_rounds_have_each_kind_of_fault():
    planned = [Round.of_seed(seed, kind) for kind, seeds in SEEDS.items() for seed in seeds]
    found = {what for each in planned for what in each.kinds()}
    assert found == {what for seed in range(200) for what in Round.of_seed(seed, PLAIN).kinds()}
