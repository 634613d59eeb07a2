"""What is done in a round, all of it from its seed: which runs there are, and what befalls them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.backends import BACKENDS

#: Signals, to a process; what they are to do is in :mod:`tests.chaos.strikes`.
SIGNALS = ("kill -9", "SIGTERM", "SIGINT", "SIGSTOP, then SIGCONT")
#: What can be done to a file of a live or dead session.
DAMAGES = (
    "journal clipped",
    "journal garbled",
    "metadata garbled",
    "lock file overwritten",
    "ticket garbled",
)

#: What a run of the round, or its state root, has for surroundings.
USUAL = "usual"
FULL_DISK, FEW_FILES, READ_ONLY, CLOCK, SLOW_DISK, FEW_PORTS = (
    "full disk",
    "no file descriptors",
    "read-only state root",
    "clock steps",
    "slow disk",
    "ports taken",
)
#: Those that strike all runs of the state root, the bystander too.
OF_ROOT = (FULL_DISK, READ_ONLY)
_SURROUNDINGS = (FULL_DISK, FEW_FILES, READ_ONLY, CLOCK, SLOW_DISK, FEW_PORTS)

#: Kinds of rounds.
PLAIN, SPARK, DOCKER = "plain", "spark", "docker"

#: Moments of a run; a fault comes so many seconds after one.
START, TEST, TEARDOWN, END = "start", "test", "teardown", "end"
_LATEST = {START: 1.2, TEST: 0.8, TEARDOWN: 0.15, END: 0.1}

_PIECES = (
    "test_no_real_account",
    "test_objects",
    "test_objects_left",
    "test_files_left",
    "test_temporary_files",
    "test_step",
    "test_slow",
    "test_child_of_fork",
)
_SPARK_PIECES = ("test_spark_writes", "test_spark_tables", "test_spark_python")
_TARGETS = ("pytest", "pytest", "keeper", "keeper", "endpoint", "worker", "any")
_SPARK_TARGETS = (*_TARGETS, "jvm", "jvm", "spare")


@dataclass(frozen=True)
class Run:
    """A run of a suite.

    :param pieces: the names of its tests.
    :param options: pytest's.
    :param after: the run that it starts after; None if it starts with the first ones.
    :param delay: how long it waits before it starts, in seconds.
    :param surroundings: what it has.
    :param room: how many descriptors or ports there are, where they are few.
    :param is_bystander: whether it stays to the round's end, and nothing is done to it.
    """

    pieces: tuple[str, ...]
    options: tuple[str, ...] = ()
    after: int | None = None
    delay: float = 0.0
    surroundings: str = USUAL
    room: int = 0
    is_bystander: bool = False

    @property
    def is_off(self) -> bool:
        """Whether it goes without the plugin's option."""
        return not self.options


@dataclass(frozen=True)
class Fault:
    """Something that befalls a run.

    :param what: of :data:`SIGNALS` or :data:`DAMAGES`.
    :param run: the number of the run.
    :param target: which of its processes.
    :param moment: after which moment of the run.
    :param delay: how long after it, in seconds.
    :param seconds: how long it lasts, where it does.
    """

    what: str
    run: int
    target: str
    moment: str
    delay: float
    seconds: float = 0.0

    def __str__(self) -> str:
        target = f" of the {self.target}" if self.what in SIGNALS else ""
        lasts = f" for {self.seconds:.2f} s" if self.seconds else ""
        return f"run {self.run}: {self.what}{target}{lasts}, {self.delay:.2f} s after {self.moment}"


@dataclass(frozen=True)
class Round:
    """A round.

    :param seed: what makes it again.
    :param kind: of :data:`PLAIN`, :data:`SPARK`, :data:`DOCKER`.
    :param surroundings: what is the matter with the machine.
    :param runs: the first is the bystander.
    :param faults: in the order of nothing.
    :param sweeps: when sweeps begin, in seconds after the start. A fault may strike them.
    :param killed_sweeps: how many of them are killed, each so many seconds after it has begun.
    :param steps: of the clock, when and by how much, both in seconds.
    :param lasts: when what is the matter with the state root begins, and how long it lasts, in seconds.
    """

    seed: int
    kind: str
    surroundings: str
    runs: tuple[Run, ...]
    faults: tuple[Fault, ...]
    sweeps: tuple[float, ...] = ()
    killed_sweeps: tuple[float, ...] = ()
    steps: tuple[tuple[float, int], ...] = ()
    lasts: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of_seed(cls, seed: int, kind: str) -> Round:
        """Return the round of a seed.

        :param seed: the seed.
        :param kind: what kind of runs there are.
        """
        return _Dice(seed, kind).round()

    def kinds(self) -> list[str]:
        """Return the kinds of faults that it has."""
        found = [fault.what for fault in self.faults]
        found += [] if self.surroundings == USUAL else [self.surroundings]
        found += ["two sweeps at once"] + ["sweep killed"] * len(self.killed_sweeps)
        return found

    def __str__(self) -> str:
        parts = [f"{self.kind}, {len(self.runs)} runs"]
        parts += [] if self.surroundings == USUAL else [self.surroundings]
        parts += map(str, self.faults)
        parts += [f"sweep at {at:.2f} s" for at in self.sweeps]
        parts += [f"a sweep killed after {after:.2f} s" for after in self.killed_sweeps]
        return "; ".join(parts)


@dataclass
class _Dice:
    seed: int
    kind: str
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.kind} {self.seed}")

    def round(self) -> Round:
        dice = self._random
        is_usual = dice.random() < 0.5 or self.kind == DOCKER
        # A JVM at whose clock libfaketime turns waits for minutes at times.
        choices = [each for each in _SURROUNDINGS if each != CLOCK or self.kind == PLAIN]
        surroundings = USUAL if is_usual else dice.choice(choices)
        runs = self._runs(surroundings)
        struck = [number for number, run in enumerate(runs) if not run.is_bystander and not run.is_off]
        # What is the matter with the machine is enough in half of the rounds that have it.
        count = dice.randint(2, 5) if is_usual else dice.randint(0, 3)
        return Round(
            self.seed,
            self.kind,
            surroundings,
            runs,
            tuple(self._fault(dice.choice(struck)) for _ in range(count)),
            tuple(dice.uniform(0, 4) for _ in range(dice.choice((0, 0, 0, 1, 2)))),
            tuple(dice.uniform(0, 0.6) for _ in range(dice.choice((0, 0, 0, 1)))),
            tuple((dice.uniform(0, 4), dice.choice((-7200, -60, 60, 7200, 400_000))) for _ in range(3)),
            (dice.uniform(0, 3), dice.uniform(0.2, 3)),
        )

    def _runs(self, surroundings: str) -> tuple[Run, ...]:
        dice = self._random
        own = USUAL if surroundings in OF_ROOT else surroundings
        # Where only some have it, what they have must not be the others' matter.
        runs = [Run(("test_stays_to_the_end",), self._options(), is_bystander=True)]
        count = dice.randint(1, 2) if self.kind != PLAIN else dice.choice((1, 1, 2, 2, 3, 4))
        for number in range(count):
            after = None
            if self.kind == SPARK and number and dice.random() < 0.6:
                # For what the run before has left: a spare.
                after = number
            options = self._options() + (("-n", "2") if dice.random() < 0.25 else ())
            if self.kind == SPARK:
                options += ("--isolated-emr-warm=always", "--isolated-emr-spare-idle=20")
            delay = dice.uniform(0, 6 if after is not None else 1)
            room = dice.randint(12, 90) if own == FEW_FILES else dice.randint(0, 6)
            runs.append(Run(self._pieces(), options, after, delay, own, room))
        if dice.random() < 0.15:
            # Pytest itself needs some descriptors and no port.
            runs.append(Run(("test_off",), surroundings=own, room=60))
        return tuple(runs)

    def _options(self) -> tuple[str, ...]:
        return BACKENDS["docker" if self.kind == DOCKER else "local"]

    def _pieces(self) -> tuple[str, ...]:
        dice = self._random
        pieces = dice.sample(_PIECES, dice.randint(1, 4))
        if self.kind != PLAIN:
            pieces += dice.sample(_SPARK_PIECES, dice.randint(1, 3))
        dice.shuffle(pieces)
        return tuple(pieces)

    def _fault(self, run: int) -> Fault:
        dice = self._random
        moment = dice.choice((START, START, TEST, TEST, TEST, TEARDOWN, END))
        # With Spark all of it takes longer.
        delay = dice.uniform(0, _LATEST[moment]) * (1 if self.kind == PLAIN else 3)
        if dice.random() < 0.2:
            return Fault(dice.choice(DAMAGES), run, "", moment, delay)
        what = dice.choice(("kill -9", "kill -9", *SIGNALS))
        target = dice.choice(_TARGETS if self.kind == PLAIN else _SPARK_TARGETS)
        if moment == END and target in ("pytest", "worker"):
            # They have ended.
            target = "keeper"
        seconds = dice.uniform(0.1, 3) if what.startswith("SIGSTOP") else 0.0
        return Fault(what, run, target, moment, delay, seconds)


def rounds(first_seed: int, count: int, kind: str) -> Sequence[Round]:
    """Return rounds with seeds that follow each other.

    :param first_seed: the first one's.
    :param count: how many.
    :param kind: what kind of runs there are.
    """
    return [Round.of_seed(seed, kind) for seed in range(first_seed, first_seed + count)]
