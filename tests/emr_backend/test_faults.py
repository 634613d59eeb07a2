"""Whatever goes wrong on AWS or with the processes of a run: at most one cluster, nothing left, nobody else's touched, and a word
to the user. The campaign (``campaign.py``) runs many more cases than these."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pytest_isolated_emr.backends.emr.keeper_policy import CALLS
from tests.emr_backend.bystanders import make_roles
from tests.emr_backend.campaign import Scratches, account_of, report
from tests.emr_backend.cases import JOURNAL_LINES, Case
from tests.emr_backend.lists_of_cases import ALL_OPERATIONS, journal_cases, named_cases

# The same each time, so that a failure is nobody's bad luck. Others are the campaign's.
SEEDS = range(1, 11)
CASES = {
    case.name: case
    for case in (
        *named_cases(),
        *journal_cases(JOURNAL_LINES),
        *(Case.of_seed(seed, kills=True) for seed in SEEDS),
    )
}

#: What `make test-all` alone runs: seven of the seeds, and those that have their like among the others (before a line of its
#: journal the keeper has done what it has after the one before).
THOROUGH = (
    "keeper killed before line",
    "each call once: ",
    "RunJobFlow for good: ",
    *(f"seed {seed}" for seed in SEEDS[3:]),
)


@pytest.fixture(scope="module")
def scratches(aws_variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratches]:
    """Where cases run."""
    with account_of(aws_variables) as account:
        iam = account.client("iam")
        # Another module's tests may have made them.
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            make_roles(account)
    with Scratches(aws_variables, tmp_path_factory.mktemp("cases")) as scratches:
        yield scratches


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.thorough if name.startswith(THOROUGH) else ()) for name in CASES],
)
def test_a_session_at_which_something_goes_wrong(name: str, scratches: Scratches) -> None:
    result = scratches.run(CASES[name])
    assert result.violations == [], report(result, is_loud=True)


def test_each_call_of_the_keepers_policy_goes_wrong_in_some_case() -> None:
    assert set(ALL_OPERATIONS) == {right.operation for right in CALLS}


def test_a_crash_was_tried_at_each_line_of_the_journal(scratches: Scratches) -> None:
    assert scratches.run(Case("all lines", "nothing")).journal_lines == JOURNAL_LINES
