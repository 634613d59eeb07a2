"""The fault campaign: ``python -m tests.emr_backend.campaign --cases N --seed S``.

Each case is one session on the emr backend, at which something goes wrong, and its audit. A case's seed gives the same
case again: ``--cases 1 --seed S``. With ``--record FILE`` the campaign can be cut off and gone on with: cases that the file
has without a violation are not run again, and count.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.environment_guard import EnvironmentGuard
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.wiring import SparkWiring
from tests.emr_backend.bystanders import Bystanders, make_roles
from tests.emr_backend.case_run import Result, Runner
from tests.emr_backend.cases import Case
from tests.emr_backend.lists_of_cases import journal_cases, named_cases, operation_cases
from tests.emr_backend.s3_endpoint import REGION, session_variables

#: After so many cases they get an AWS of their own: one knows of all clusters that ever were.
_CASES_OF_ONE_AWS = 100


@dataclass(frozen=True)
class Outcome:
    """What came of a case, as a record keeps it.

    :param case: its name.
    :param kind: what it is counted as.
    :param numbers: what there was of each thing, by the names of :class:`Figures`.
    """

    case: str
    kind: str
    numbers: dict[str, float]

    @classmethod
    def of(cls, result: Result) -> Outcome:
        """Take from a result what is counted.

        :param result: the case's.
        """
        return cls(
            result.case.name,
            result.case.kind,
            {
                "launched": result.after.launched,
                "launched_by_tests": result.after.launched_by_tests,
                "alive_at_once": result.after.alive_at_once,
                "left_by_sessions": bool(result.before.leaked),
                "leaked": len(result.after.leaked),
                "changed": len(result.after.changed),
                "wrongly_ended": len(result.after.wrongly_ended),
                "told_nothing": any("told nothing" in words for words in result.violations),
                "violations": bool(result.violations),
                "calls": result.operations.total(),
            },
        )


def read_record(record: Path | None) -> list[Outcome]:
    """Return what a record has of cases without a violation.

    :param record: the file, which may not be there yet.
    """
    if record is None or not record.exists():
        return []
    outcomes = [Outcome(**json.loads(line)) for line in record.read_text(encoding="utf-8").splitlines()]
    return [outcome for outcome in outcomes if not outcome.numbers["violations"]]


@dataclass
class Figures:
    """What came of all cases."""

    cases: Counter[str] = field(default_factory=Counter)
    launched: int = 0
    launched_by_tests: int = 0
    alive_at_once: int = 0
    left_by_sessions: int = 0
    leaked: int = 0
    changed: int = 0
    wrongly_ended: int = 0
    told_nothing: int = 0
    violations: int = 0
    calls: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a case."""
        self.cases[outcome.kind] += 1
        for name, number in outcome.numbers.items():
            put_together = max if name == "alive_at_once" else int.__add__
            setattr(self, name, put_together(getattr(self, name), int(number)))

    def rows(self) -> list[tuple[str, str]]:
        """Return them as a table has them."""
        return [
            ("Sessions", str(sum(self.cases.values()))),
            *((f"… {kind}", str(count)) for kind, count in sorted(self.cases.items())),
            ("Calls of AWS that went through the proxy", str(self.calls)),
            ("Clusters launched for sessions", str(self.launched)),
            ("Clusters launched by their tests", str(self.launched_by_tests)),
            (
                "Most clusters of one run, or of one name that a test made, alive at once",
                str(self.alive_at_once),
            ),
            ("Sessions that ended with something left, for the sweep", str(self.left_by_sessions)),
            ("Clusters, objects, uploads and slots left after the sweep", str(self.leaked)),
            ("Others' clusters ended, leases taken", str(self.wrongly_ended)),
            ("Objects changed outside of the run's prefix", str(self.changed)),
            ("Sessions that went wrong and said nothing", str(self.told_nothing)),
        ]


@contextlib.contextmanager
def private_aws(directory: Path, jars: Path) -> Iterator[dict[str, str]]:
    """Run an AWS for as long, with EMR's roles in it, and say how it is reached.

    :param directory: for its files.
    :param jars: the cache with the jars of the installed Spark.
    """
    home = directory / "aws"
    home.mkdir(mode=0o700)
    for jar in jars.rglob("*"):
        if jar.is_file():
            linked = home / "jars" / jar.relative_to(jars)
            linked.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(jar, linked)
            except OSError:
                # The cache is on another disk.
                linked.symlink_to(jar)
    with session_variables(home) as variables, account_of(variables) as account:
        make_roles(account)
        yield variables


@contextlib.contextmanager
def account_of(variables: dict[str, str]) -> Iterator[Account]:
    """Return the account that variables lead to, past all faults."""
    guard = EnvironmentGuard(lambda name: name.startswith("AWS_"), variables)
    guard.apply()
    try:
        account = Account.connect(REGION)
        # Clients look at the variables when they are made.
        for service in ("s3", "emr", "iam", "ec2"):
            account.client(service)
    finally:
        guard.restore()
    yield account


class Scratches:
    """Scratches with bystanders, of which each case has one for itself while it runs.

    :param variables: how AWS is reached.
    :param directory: for the homes of the cases.
    """

    def __init__(self, variables: dict[str, str], directory: Path) -> None:
        self._variables = variables
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self._account = self._stack.enter_context(account_of(variables))
        self._free: dict[bool, queue.SimpleQueue[Runner]] = {
            versioned: queue.SimpleQueue() for versioned in (False, True)
        }

    def __enter__(self) -> Scratches:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def run(self, case: Case) -> Result:
        """Run a case in one of them. One in which something went wrong is used no more."""
        free = self._free[case.versioned]
        try:
            runner = free.get_nowait()
        except queue.Empty:
            bystanders = Bystanders(self._account, REGION, case.versioned)
            self._stack.enter_context(bystanders)
            runner = Runner(self._variables, bystanders, self._directory)
        result = runner.run(case)
        if not result.violations:
            free.put(runner)
        return result


def run_cases(cases: Sequence[Case], jobs: int, jars: Path) -> Iterator[Result]:
    """Run cases, and yield what comes of each when it is over.

    :param cases: which ones.
    :param jobs: so many at once.
    :param jars: the cache with the jars of the installed Spark.
    """
    for start in range(0, len(cases), _CASES_OF_ONE_AWS):
        with tempfile.TemporaryDirectory(prefix="emr-faults-") as name:
            directory = Path(name)
            with (
                private_aws(directory, jars) as variables,
                Scratches(variables, directory) as scratches,
                ThreadPoolExecutor(jobs) as pool,
            ):
                yield from pool.map(scratches.run, cases[start : start + _CASES_OF_ONE_AWS])


def report(result: Result, is_loud: bool) -> str:
    """Return what is printed of a case."""
    lines = [f"{'FAILED' if result.violations else 'ok    '} {result.seconds:5.1f} s  {result.case}"]
    lines += [f"    violation: {words}" for words in result.violations]
    if result.violations or is_loud:
        lines += [f"    told: {event}" for event in result.told]
    if result.violations:
        lines += [f"    {line}" for line in result.log.splitlines()[-60:]]
    return "\n".join(lines)


_BEGIN = "<!-- From here on written by: python -m tests.emr_backend.campaign -->\n"
_END = "<!-- To here. -->\n"


def write_docs(page: Path, figures: Figures, command: str) -> None:
    """Write the figures into a page, between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = [f"By `{command}`:", "", "| | |", "| --- | ---: |"]
    lines += [f"| {what} | {value} |" for what, value in figures.rows()]
    page.write_text(f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n\n{_END}{after}", encoding="utf-8")


def main() -> None:
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.emr_backend.campaign", description=__doc__)
    parser.add_argument("--cases", type=int, default=0, help="how many random ones")
    parser.add_argument("--seed", type=int, default=1, help="of the first of them; the others follow")
    parser.add_argument("--kills", action="store_true", help="kill processes in some of them")
    parser.add_argument("--named", action="store_true", help="those with a name, too")
    parser.add_argument("--operations", action="store_true", help="each operation in each way, too")
    parser.add_argument("--only", default="", help="of those with a name, the ones with this in it")
    parser.add_argument("--lines", type=int, default=0, help="kill the keeper at each of so many lines, too")
    parser.add_argument("--jobs", type=int, default=2, help="so many at once")
    parser.add_argument("--docs", type=Path, help="the page that gets the figures")
    parser.add_argument("--record", type=Path, help="a file for what came of each case, to go on with later")
    parser.add_argument("--loud", action="store_true", help="print what each user was told")
    given = parser.parse_args()
    cases = named_cases() if given.named else []
    cases += operation_cases() if given.operations else []
    cases = [case for case in cases if given.only in case.name]
    cases += journal_cases(given.lines)
    cases += [Case.of_seed(given.seed + number, kills=given.kills) for number in range(given.cases)]
    StateRoot.from_environment().open()
    SparkWiring(Settings(), dict(os.environ)).fetch_jars(print)
    figures, began = Figures(), time.monotonic()
    names, recorded = {case.name for case in cases}, read_record(given.record)
    for outcome in recorded:
        if outcome.case in names:
            figures.add(outcome)
    done = {outcome.case for outcome in recorded}
    cases = [case for case in cases if case.name not in done]
    for result in run_cases(cases, given.jobs, StateRoot.from_environment().jars):
        outcome = Outcome.of(result)
        figures.add(outcome)
        print(report(result, given.loud), flush=True)
        if given.record is not None:
            with given.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
    for what, value in figures.rows():
        print(f"{what:60} {value}")
    print(f"{time.monotonic() - began:.0f} s; {figures.violations} cases with violations")
    if given.docs is not None:
        arguments = " ".join(sys.argv[1:])
        write_docs(given.docs, figures, f"python -m tests.emr_backend.campaign {arguments}")
    sys.exit(1 if figures.violations else 0)


if __name__ == "__main__":
    main()
