"""The cases that have a name, those of each operation, and those of each line of the journal."""

from __future__ import annotations

from dataclasses import replace

from tests.emr_backend import extras
from tests.emr_backend.cases import (
    AHEAD,
    AROUND,
    AT_A_LINE,
    BEHIND,
    BOOTSTRAP_FAILS,
    IN_A_CALL,
    LAGS,
    LAGS_BY_ANSWERS,
    LEASE_LOST,
    MOMENTS,
    OPERATIONS,
    SOMEBODY_ENDS_IT,
    STAYS_STARTING,
    STUCK,
    TAGS_LATE,
    Case,
)
from tests.emr_backend.faults import Fault, Rule

#: All that a keeper calls.
ALL_OPERATIONS = (*OPERATIONS, *(each for operations in extras.OPERATIONS_OF.values() for each in operations))
#: Where certain calls have to be made, a machine that stands still for seconds is not to lose the lease before.
_UNHURRIED = {"lease": 120.0}
_BUT_A_LOST_CLAIM = tuple(
    operation for operation in ALL_OPERATIONS if operation not in extras.OPERATIONS_OF[extras.LOST_CLAIM]
)
_BUT_LAUNCHES = tuple(operation for operation in ALL_OPERATIONS if operation != "RunJobFlow")


def named_cases() -> list[Case]:
    """Return the cases that have a name, each of which says what must come out right."""
    cases = [
        Case("nothing", "nothing", versioned=True),
        Case("nothing, twice versions", "nothing", versioned=False, swept_elsewhere=True),
        Case("all that there is", "nothing", has=extras.TOGETHER, calls=_BUT_A_LOST_CLAIM, pace=_UNHURRIED),
        Case(
            "each call throttled twice",
            "throttled",
            (Rule(Fault.THROTTLED, attempts=2),),
            has=extras.TOGETHER,
        ),
        Case("each call throttled for good", "throttled", (Rule(Fault.THROTTLED),), expects="IE608"),
        Case(
            "throttled for good after the launch",
            "throttled",
            (Rule(Fault.THROTTLED, since=("RunJobFlow", 1)),),
            work_seconds=8.0,
            pace={"end": 2.0},
            expects="IE60[89]",
        ),
    ]
    for fault in AROUND[1:]:
        # A launch is asked for once by each call, and three of them are all that are tried.
        once = (Rule(fault, ("RunJobFlow",), count=2), Rule(fault, _BUT_LAUNCHES, attempts=1))
        cases.append(Case(f"each call once: {fault.value}", fault.value, once, makes_cluster=True))
        cases.append(
            Case(f"each call but launches once: {fault.value}", fault.value, once[1:], has=extras.TOGETHER)
        )
        cases.append(
            Case(f"RunJobFlow for good: {fault.value}", fault.value, (Rule(fault, ("RunJobFlow",)),))
        )
    lost = (Rule(Fault.DROPPED_AFTER, ("RunJobFlow",), count=1),)
    cases += [
        Case("the launch's answer is lost", "launch lost", lost),
        Case("the launch's answer is lost, and the list lags", "launch lost", lost, (LAGS,)),
        Case("the launch's answer is lost, and the list lags more", "launch lost", lost, (LAGS_BY_ANSWERS,)),
        Case("the launch's answer is lost, and tags come late", "launch lost", lost, (TAGS_LATE,)),
        Case(
            "the launch's answer is lost, and pytest ends", "launch lost", lost, (LAGS,), gives_up="launched"
        ),
        Case(
            "the launch's answer is lost, and so is the list",
            "launch lost",
            (*lost, Rule(Fault.DROPPED_BEFORE, ("ListClusters",))),
        ),
        Case(
            "the launch is lost before its effect",
            "launch lost",
            (Rule(Fault.DROPPED_BEFORE, ("RunJobFlow",), count=1),),
        ),
        Case("credentials expire at once", "expired", (Rule(Fault.EXPIRED),), expects="IE601"),
    ]
    for since in ("PutObject", "RunJobFlow", "DescribeCluster", "TerminateJobFlows", "ListClusters"):
        rule = Rule(Fault.EXPIRED, since=(since, 1))
        cases.append(
            Case(
                f"credentials expire after {since}",
                "expired",
                (rule,),
                work_seconds=2.0,
                versioned=True,
                expects="credentials",
            )
        )
    cases += [
        Case(
            "TerminateJobFlows is denied",
            "denied",
            (Rule(Fault.DENIED, ("TerminateJobFlows",)),),
            expects="not authorized to perform: elasticmapreduce:TerminateJobFlows",
        ),
        Case(
            "a bootstrap action fails",
            BOOTSTRAP_FAILS,
            bootstrap_fails=True,
            makes_cluster=True,
            expects="IE604: The cluster j-[A-Z0-9]+ ended before it was ready",
        ),
        Case(
            "stuck in STARTING",
            STAYS_STARTING,
            changes=(STUCK,),
            pace={"start": 2.0},
            makes_cluster=True,
            expects="IE604: The cluster j-[A-Z0-9]+ was not ready",
        ),
        Case("stuck in STARTING, and pytest ends", STAYS_STARTING, changes=(STUCK,), gives_up="launched"),
        Case(
            "terminated by somebody",
            SOMEBODY_ENDS_IT,
            ended_by_somebody=True,
            makes_cluster=True,
            work_seconds=5.0,
            expects="IE605: The session's cluster j-[A-Z0-9]+ was ended while it was needed",
        ),
        Case(
            "the lease cannot be written for longer than it lasts",
            LEASE_LOST,
            (Rule(Fault.DROPPED_BEFORE, ("PutObject",), since=("RunJobFlow", 1)),),
            loses_lease="unwritten",
            pace={"lease": 3.0, "renew": 0.5},
            work_seconds=20.0,
            expects="IE609: The session has lost its lease",
        ),
        Case(
            "another machine's sweep takes the lease",
            LEASE_LOST,
            loses_lease="taken",
            work_seconds=20.0,
            expects="IE609: The session has lost its lease|IE605: The session's cluster",
        ),
        Case("tests make clusters", "tests' clusters", makes_cluster=True, gives_up="launched"),
        Case(
            "tests make clusters, of whose launch the answer is lost",
            "tests' clusters",
            (Rule(Fault.DROPPED_AFTER, ("RunJobFlow",)),),
            (LAGS, TAGS_LATE),
            makes_cluster=True,
        ),
        Case("the list lags", "late", changes=(LAGS,)),
        Case("tags come late", "late", changes=(TAGS_LATE,)),
        Case("tags come late, and pytest ends", "late", changes=(TAGS_LATE, LAGS), gives_up="launched"),
        Case("AWS's clock is ahead", "clock", changes=(AHEAD,), work_seconds=3.0),
        Case("AWS's clock is behind", "clock", changes=(BEHIND,), work_seconds=3.0),
        Case(
            "clocks are too far apart",
            "clock",
            (Rule(Fault.SKEWED),),
            expects="IE601: This machine's clock is too far from AWS's",
        ),
        Case("pytest is killed at once", "pytest killed", client_dies="opened"),
        Case(
            "pytest is killed while the cluster starts",
            "pytest killed",
            changes=(LAGS,),
            client_dies="launched",
        ),
        Case("pytest ends at once", "nothing", gives_up="asked"),
        Case("pytest is killed while tests run", "pytest killed", client_dies="ready"),
    ]
    for operation in ("TerminateJobFlows", "DeleteObjects"):
        for swept_elsewhere in (False, True):
            where = "another machine's sweep" if swept_elsewhere else "this machine's sweep"
            cases.append(
                Case(
                    f"keeper killed, and {where} killed at {operation}",
                    "sweep killed",
                    (Rule(Fault.KILLED_BEFORE, ("ListInstances", "TerminateJobFlows"), count=1),),
                    kill_sweep=Rule(Fault.KILLED_AFTER, (operation,), count=1),
                    swept_elsewhere=swept_elsewhere,
                    versioned=True,
                )
            )
    for fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
        for operation in ("RunJobFlow", "TerminateJobFlows", "DeleteObject"):
            rule = Rule(fault, (operation,), count=1)
            is_last = operation == "DeleteObject"
            cases.append(
                Case(
                    f"{operation}: {fault.value}",
                    IN_A_CALL,
                    (rule,),
                    (LAGS,),
                    versioned=is_last,
                    swept_elsewhere=not is_last,
                )
            )
    return cases


def operation_cases() -> list[Case]:
    """Return those in which one operation goes wrong, each operation in each way."""
    cases = [case for operation in OPERATIONS for case in _cases_of(operation)]
    for extra, operations in extras.OPERATIONS_OF.items():
        before = extras.LOSE_CLAIM if extra == extras.LOST_CLAIM else ()
        cases += [
            replace(case, has=(extra,), rules=(*before, *case.rules))
            for operation in operations
            for case in _cases_of(operation, is_once=operation != "GetSession")
        ]
    return cases


def _cases_of(operation: str, *, is_once: bool = False) -> list[Case]:
    """Return those of one operation.

    :param is_once: whether a session calls it no more than once.
    """
    cases = []
    versioned = operation.startswith(("Delete", "Abort"))
    for fault in (*AROUND, Fault.DENIED):
        rule = Rule(fault, (operation,))
        cases.append(
            Case(
                f"each {operation}: {fault.value}",
                fault.value,
                (rule,),
                versioned=versioned,
                calls=(operation,),
                pace=_UNHURRIED,
            )
        )
    for fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
        for number in (1,) if is_once else (1, 2):
            rule = Rule(fault, (operation,), first=number, count=1)
            cases.append(
                Case(
                    f"{number}. {operation}: {fault.value}",
                    IN_A_CALL,
                    (rule,),
                    versioned=versioned,
                    swept_elsewhere=number == 2 or (is_once and fault is Fault.KILLED_AFTER),
                )
            )
    rule = Rule(Fault.EXPIRED, since=(operation, 1))
    cases.append(Case(f"after {operation}: expired", "expired", (rule,), work_seconds=2.0))
    return cases


def journal_cases(lines: int) -> list[Case]:
    """Return those in which the keeper is killed at each line of its journal.

    :param lines: how many a session writes when nothing goes wrong.
    """
    return [
        Case(
            f"keeper killed {moment} line {number}",
            AT_A_LINE,
            kill_at_line=f"{number}:{moment}",
            versioned=number % 2 == 0,
        )
        for number in range(1, lines + 1)
        for moment in MOMENTS
    ]
