"""Whatever goes wrong on AWS or with the processes of a run: at most one cluster, nothing left, nobody else's touched, and a word
to the user. The campaign (``campaign.py``) runs many more cases than these."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pytest_isolated_emr.backends.emr.account import Account
from tests.emr_backend.bystanders import make_roles
from tests.emr_backend.campaign import Scratches, account_of, report
from tests.emr_backend.case_run import Result
from tests.emr_backend.cases import JOURNAL_LINES, Case, journal_cases, named_cases

# Others by chance are the campaign's; these are the same each time, so that a failure is nobody's bad luck.
SEEDS = range(1, 11)
CASES = {
    case.name: case
    for case in (
        *named_cases(),
        *journal_cases(JOURNAL_LINES),
        *(Case.of_seed(seed, kills=True) for seed in SEEDS),
    )
}
#: So many at once. They wait for each other's AWS more than for a processor.
JOBS = 3


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, aws_variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Result]]]:
    """What comes of the cases of all tests that were chosen. They run at the same time."""
    chosen = [item for item in request.session.items if "results" in getattr(item, "fixturenames", ())]
    names = dict.fromkeys(item.callspec.params["name"] for item in chosen)
    with contextlib.ExitStack() as stack:
        account = stack.enter_context(account_of(aws_variables))
        _make_roles_once(account)
        scratches = stack.enter_context(Scratches(aws_variables, tmp_path_factory.mktemp("cases")))
        pool = ThreadPoolExecutor(JOBS)
        # What is not wanted any more, after -x, is not begun.
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        yield {name: pool.submit(scratches.run, CASES[name]) for name in names}


def _make_roles_once(account: Account) -> None:
    iam = account.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        make_roles(account)


@pytest.mark.parametrize("name", CASES)
def test_a_session_at_which_something_goes_wrong(name: str, results: dict[str, Future[Result]]) -> None:
    result = results[name].result()
    assert result.violations == [], report(result, is_loud=True)


@pytest.mark.parametrize("name", ["nothing"])
def test_a_crash_was_tried_at_each_line_of_the_journal(name: str, results: dict[str, Future[Result]]) -> None:
    assert results[name].result().journal_lines == JOURNAL_LINES
