"""What a case of the fault campaign is, and the case that a seed gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tests.emr_backend import extras
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
#: What cases are counted as, where more than one place says it.
AT_A_LINE = "keeper killed at a line of its journal"
IN_A_CALL = "keeper killed in a call"
BOOTSTRAP_FAILS = "cluster fails in bootstrapping"
STAYS_STARTING = "cluster stuck in STARTING"
SOMEBODY_ENDS_IT = "cluster terminated by somebody"
LEASE_LOST = "lease lost"

AROUND = (
    Fault.THROTTLED,
    Fault.ERROR_BEFORE,
    Fault.ERROR_AFTER,
    Fault.DROPPED_BEFORE,
    Fault.DROPPED_AFTER,
)
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
    :param loses_lease: how the session loses its lease while tests use the cluster: ``unwritten``, as no write of it is heard,
        or ``taken``; empty for not at all.
    :param has: what the session has beside a cluster, of :mod:`tests.emr_backend.extras`.
    :param pace: times of the keeper's that are others.
    :param calls: operations that the session has to call, or the case tries nothing.
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
    loses_lease: str = ""
    has: tuple[str, ...] = ()
    pace: Mapping[str, float] = field(default_factory=dict)
    calls: tuple[str, ...] = ()
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
        if self.loses_lease:
            parts.append(f"its lease is {self.loses_lease}")
        parts += [f"has {extra}" for extra in self.has]
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
            kind = AT_A_LINE
            kill_at_line = f"{chance.randint(1, JOURNAL_LINES + 3)}:{chance.choice(MOMENTS)}"
        elif what == "call":
            kind = IN_A_CALL
            # Before the others, which would else be met in its place.
            rules.insert(0, _kill(chance))
        elif what == "client":
            kind, client_dies = "pytest killed", chance.choice(("opened", "launched", "ready"))
        case = cls(
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
        return _with_extras(case, chance)


def _with_extras(case: Case, chance: random.Random) -> Case:
    """Give a session more than a cluster, and have one of the calls for it go wrong, too."""
    # A session of Spark's is dear.
    has = [extra for extra in extras.TOGETHER if chance.random() < (0.1 if extra == extras.SPARK else 0.3)]
    operations = [operation for extra in has for operation in extras.OPERATIONS_OF[extra]]
    more = (_rule(chance, operations),) if operations and chance.random() < 0.5 else ()
    if case.ended_by_somebody and extras.PROTECTION in has:
        # Nobody could end it.
        has.remove(extras.PROTECTION)
    kind = case.kind
    if kind == "calls fail":
        kind = BOOTSTRAP_FAILS if case.bootstrap_fails else kind
        kind = SOMEBODY_ENDS_IT if case.ended_by_somebody else kind
    return replace(case, kind=kind, has=tuple(has), rules=(*case.rules, *more))


def _kill(chance: random.Random) -> Rule:
    fault = chance.choice((Fault.KILLED_BEFORE, Fault.KILLED_AFTER))
    return Rule(fault, (chance.choice(OPERATIONS),), first=chance.choice((1, 1, 2, 3)), count=1)


def _rule(chance: random.Random, operations: Sequence[str] = OPERATIONS) -> Rule:
    operation = chance.choice(operations)
    kind = chance.random()
    if kind < 0.1:
        since = chance.choice(("PutObject", "RunJobFlow", "DescribeCluster", "TerminateJobFlows"))
        return Rule(Fault.EXPIRED, since=(since, chance.randint(1, 3)))
    if kind < 0.2:
        return Rule(Fault.DENIED, (operation,))
    return Rule(
        chance.choice(AROUND),
        () if chance.random() < 0.1 else (operation,),
        first=chance.choice((1, 1, 1, 2, 3)),
        count=chance.choice((1, 1, 2, EVERY)),
        attempts=chance.choice((1, 2, 7, EVERY)),
    )
