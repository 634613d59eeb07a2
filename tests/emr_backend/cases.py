"""The cases of the fault campaign: those that have a name, and those that a seed gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from tests.emr_backend.answers import Change, EventualTags, LaggingList, SkewedClock, StuckStarting
from tests.emr_backend.faults import EVERY, Fault, Rule

#: What a session, and its end, ask of AWS in any case.
OPERATIONS = (
    "GetCallerIdentity",
    "GetBucketLocation",
    "DescribeReleaseLabel",
    "ListSupportedInstanceTypes",
    "GetRole",
    "GetInstanceProfile",
    "GetObject",
    "PutObject",
    "RunJobFlow",
    "DescribeCluster",
    "TerminateJobFlows",
    "ListClusters",
    "ListInstances",
    "ListMultipartUploads",
    "ListObjectVersions",
    "DeleteObject",
    "DeleteObjects",
)
#: So many lines a session's journal has when nothing goes wrong.
JOURNAL_LINES = 19
MOMENTS = ("before", "after")

_AROUND = (
    Fault.THROTTLED,
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.DROPPED_BEFORE,
    Fault.DROPPED_AFTER,
)
_BUT_LAUNCHES = tuple(operation for operation in OPERATIONS if operation != "RunJobFlow")
LAGS = "ListClusters lags by 0.6 s"
LAGS_BY_ANSWERS = "ListClusters lags by 2 answers"
TAGS_LATE = "tags come after 3 answers"
STUCK = "the cluster stays in STARTING"
AHEAD = "AWS's clock is 10 minutes ahead"
BEHIND = "AWS's clock is 10 minutes behind"
CHANGES: Mapping[str, Callable[[], Change]] = {
    LAGS: lambda: LaggingList(seconds=0.6),
    # No longer than the keeper takes it to be possible: longer, and nobody could do anything about it.
    LAGS_BY_ANSWERS: lambda: LaggingList(calls=2, at_most=0.8),
    TAGS_LATE: lambda: EventualTags(3),
    STUCK: StuckStarting,
    AHEAD: lambda: SkewedClock(timedelta(minutes=10)),
    BEHIND: lambda: SkewedClock(-timedelta(minutes=10)),
}


@dataclass(frozen=True)
class Case:
    """What goes wrong in one session.

    :param name: such as ``seed 17``.
    :param kind: what it is counted as.
    :param rules: what becomes of calls.
    :param changes: names of what becomes of answers.
    :param kill_at_line: the line of the journal at which the keeper is killed, as ``7:before``; empty for none.
    :param client_dies: when pytest's process is killed: ``opened``, ``launched``, ``ready``; empty for never.
    :param bootstrap_fails: whether a bootstrap action of the user's ends with 1.
    :param ended_by_somebody: whether somebody terminates the cluster when it is ready.
    :param gives_up: when pytest ends without waiting for the cluster: ``asked`` for it, or ``launched``; empty for never.
    :param versioned: whether the bucket has versions.
    :param swept_elsewhere: whether another machine's sweep comes first, when the run's leases have lapsed.
    :param work_seconds: how long tests use the cluster.
    :param makes_cluster: whether a test makes a cluster of its own.
    :param kill_sweep: at which call each sweep is killed, and run again after it; None for none.
    :param pace: times of the keeper's that are others.
    :param expects: what the user has to be told, as a pattern; empty where nothing in particular.
    """

    name: str
    kind: str
    rules: tuple[Rule, ...] = ()
    changes: tuple[str, ...] = ()
    kill_at_line: str = ""
    client_dies: str = ""
    bootstrap_fails: bool = False
    ended_by_somebody: bool = False
    gives_up: str = ""
    versioned: bool = False
    swept_elsewhere: bool = False
    work_seconds: float = 0.2
    makes_cluster: bool = False
    kill_sweep: Rule | None = None
    pace: Mapping[str, float] = field(default_factory=dict)
    expects: str = ""

    @property
    def kills_keeper(self) -> bool:
        """Whether the keeper is killed, if it comes that far."""
        return bool(self.kill_at_line) or any(rule.fault.kills for rule in self.rules)

    def __str__(self) -> str:
        parts = [str(rule) for rule in self.rules] + list(self.changes)
        if self.kill_at_line:
            number, _, moment = self.kill_at_line.partition(":")
            parts.append(f"keeper killed {moment} line {number} of its journal")
        if self.client_dies:
            parts.append(f"pytest killed when {self.client_dies}")
        if self.gives_up:
            parts.append(f"pytest ends when {self.gives_up}")
        if self.kill_sweep is not None:
            parts.append(f"the sweep: {self.kill_sweep}")
        flags = (
            "makes_cluster",
            "bootstrap_fails",
            "ended_by_somebody",
            "versioned",
            "swept_elsewhere",
        )
        parts += [flag.replace("_", " ") for flag in flags if getattr(self, flag)]
        return f"{self.name}: {'; '.join(parts) or 'nothing goes wrong'}"

    @classmethod
    def of_seed(cls, seed: int, *, kills: bool) -> Case:
        """Return the case that a seed gives, always the same.

        :param seed: any number.
        :param kills: whether processes are killed in some.
        """
        chance = random.Random(seed)
        rules = [_rule(chance) for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))]
        changes = [name for name in CHANGES if name not in (STUCK, BEHIND) and chance.random() < 0.15]
        kind, kill_at_line, client_dies = "calls fail", "", ""
        what = chance.choice(("line", "call", "client", "", "", "")) if kills else ""
        if what == "line":
            kind = "keeper killed"
            kill_at_line = f"{chance.randint(1, JOURNAL_LINES + 3)}:{chance.choice(MOMENTS)}"
        elif what == "call":
            kind = "keeper killed"
            # Before the others, which would else be met in its place.
            rules.insert(0, _kill(chance))
        elif what == "client":
            kind, client_dies = "pytest killed", chance.choice(("opened", "launched", "ready"))
        return cls(
            name=f"seed {seed}",
            kind=kind,
            rules=tuple(rules),
            changes=tuple(changes),
            kill_at_line=kill_at_line,
            client_dies=client_dies,
            bootstrap_fails=chance.random() < 0.05,
            ended_by_somebody=chance.random() < 0.05,
            gives_up=chance.choice(("asked", "launched"))
            if not client_dies and chance.random() < 0.15
            else "",
            versioned=chance.random() < 0.5,
            swept_elsewhere=chance.random() < 0.3,
            work_seconds=chance.choice((0.0, 0.2, 2.5)),
            makes_cluster=chance.random() < 0.25,
            kill_sweep=_kill(chance) if kills and chance.random() < 0.3 else None,
        )


def _kill(chance: random.Random) -> Rule:
    fault = chance.choice((Fault.KILLED_BEFORE, Fault.KILLED_AFTER))
    return Rule(fault, (chance.choice(OPERATIONS),), first=chance.choice((1, 1, 2, 3)), count=1)


def _rule(chance: random.Random) -> Rule:
    operation = chance.choice(OPERATIONS)
    kind = chance.random()
    if kind < 0.1:
        since = chance.choice(("PutObject", "RunJobFlow", "DescribeCluster", "TerminateJobFlows"))
        return Rule(Fault.EXPIRED, since=(since, chance.randint(1, 3)))
    if kind < 0.2:
        return Rule(Fault.DENIED, (operation,))
    return Rule(
        chance.choice(_AROUND),
        () if chance.random() < 0.1 else (operation,),
        first=chance.choice((1, 1, 1, 2, 3)),
        count=chance.choice((1, 1, 2, EVERY)),
        attempts=chance.choice((1, 2, 7, EVERY)),
    )


def named_cases() -> list[Case]:
    """Return the cases that have a name, each of which says what must come out right."""
    cases = [
        Case("nothing", "nothing", versioned=True),
        Case("nothing, twice versions", "nothing", versioned=False, swept_elsewhere=True),
        Case("each call throttled twice", "throttled", (Rule(Fault.THROTTLED, attempts=2),)),
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
    for fault in _AROUND[1:]:
        # A launch is asked for once by each call, and three of them are all that are tried.
        once = (Rule(fault, ("RunJobFlow",), count=2), Rule(fault, _BUT_LAUNCHES, attempts=1))
        cases.append(Case(f"each call once: {fault.value}", fault.value, once, makes_cluster=True))
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
            "cluster fails",
            bootstrap_fails=True,
            expects="IE604: The cluster j-[A-Z0-9]+ ended before it was ready",
        ),
        Case(
            "stuck in STARTING",
            "cluster fails",
            changes=(STUCK,),
            pace={"start": 2.0},
            expects="IE604: The cluster j-[A-Z0-9]+ was not ready",
        ),
        Case("stuck in STARTING, and pytest ends", "cluster fails", changes=(STUCK,), gives_up="launched"),
        Case(
            "terminated by somebody",
            "cluster fails",
            ended_by_somebody=True,
            work_seconds=5.0,
            expects="IE605: The session's cluster j-[A-Z0-9]+ was ended while it was needed",
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
                    "keeper killed",
                    (rule,),
                    (LAGS,),
                    versioned=is_last,
                    swept_elsewhere=not is_last,
                )
            )
    return cases


def operation_cases() -> list[Case]:
    """Return those in which one operation goes wrong, each operation in each way."""
    cases = []
    for operation in OPERATIONS:
        versioned = operation.startswith("Delete")
        for fault in (*_AROUND, Fault.DENIED):
            rule = Rule(fault, (operation,))
            cases.append(Case(f"each {operation}: {fault.value}", fault.value, (rule,), versioned=versioned))
        for fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
            for number in (1, 2):
                rule = Rule(fault, (operation,), first=number, count=1)
                cases.append(
                    Case(
                        f"{number}. {operation}: {fault.value}",
                        "keeper killed",
                        (rule,),
                        versioned=versioned,
                        swept_elsewhere=number == 2,
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
            "keeper killed",
            kill_at_line=f"{number}:{moment}",
            versioned=number % 2 == 0,
        )
        for number in range(1, lines + 1)
        for moment in MOMENTS
    ]
