"""One round: its runs, what befalls them, sweeps, and the audit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.auditor import Auditor
from tests.chaos.place import Place
from tests.chaos.plan import DOCKER, OF_ROOT, PLAIN, Round
from tests.chaos.started_run import StartedRun
from tests.chaos.strikes import Strike, strike
from tests.chaos.surroundings import clock_of, disk_of, go_wrong
from tests.chaos.verdict import violations_of_run
from tests.nobody import AS_NOBODY

#: What is left of a run has to be gone within so many seconds of its end.
CLEAN_SECONDS, CLEAN_SECONDS_DOCKER = 5.0, 10.0

# To know how late it was, where it was too late.
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_RUN_SECONDS, _RUN_SECONDS_SPARK = 150.0, 400.0


@dataclass(frozen=True)
class Clean:
    """How long it took until nothing of a run was left.

    :param what: what its end was.
    :param seconds: since its end, or since what befell it was over.
    :param swept: whether it was left to a sweep, and only what acts had to be gone.
    """

    what: str
    seconds: float
    swept: bool


@dataclass
class Result:
    """What came of a round.

    :param round: which one.
    :param strikes: what befell it.
    :param cleans: how long until clean, for each run that had a session.
    :param violations: what was wrong, in words.
    :param outputs: what the runs and sweeps printed.
    :param seconds: how long it took.
    """

    round: Round
    strikes: list[Strike] = field(default_factory=list)
    cleans: list[Clean] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_round(round_: Round, jars: Path, clean_seconds: float | None = None) -> Result:
    """Run a round, and return what came of it.

    :param round_: which one.
    :param jars: the directory with the jars of the installed Spark.
    :param clean_seconds: so long after a run's end nothing may be left of it. By default as promised: 5 s, 10 s with Docker.
    """
    if clean_seconds is None:
        clean_seconds = CLEAN_SECONDS_DOCKER if round_.kind == DOCKER else CLEAN_SECONDS
    begun = time.monotonic()
    # Sockets are in it, whose paths must be short; and the user nobody has to get there.
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        place = Place(Path(name), round_, jars)
        with disk_of(place), clock_of(place):
            place.make()
            result = _Driver(place, clean_seconds).drive()
    result.seconds = time.monotonic() - begun
    return result


class _Driver:
    def __init__(self, place: Place, clean_seconds: float) -> None:
        self._place = place
        self._clean_seconds = clean_seconds
        self._round = place.round
        self._runs = [StartedRun(number, run, place) for number, run in enumerate(place.round.runs)]
        self._result = Result(place.round)
        # What befalls the runs; None until it begins.
        self._wrong: Future[float | None] | None = None
        self._striking: list[Future[Strike | None]] = []
        self._reported: set[str] = set()
        # When nothing was left of a run that acts, and when nothing at all.
        self._inert: dict[int, float] = {}
        self._clean: dict[int, float] = {}
        self._watched: set[int] = set()

    def drive(self) -> Result:
        with Auditor(self._place, self._runs) as auditor, ThreadPoolExecutor(32) as pool:
            try:
                self._go(auditor, pool)
            finally:
                # Nothing of a round that was cut off goes on; all have ended in one that was not.
                for run in self._runs:
                    run.kill()
        return self._result

    def _go(self, auditor: Auditor, pool: ThreadPoolExecutor) -> None:
        round_ = self._round
        bystander, *others = self._runs
        bystander.start()
        living = pool.submit(self._live, auditor, bystander)
        if round_.surroundings not in OF_ROOT:
            bystander.await_moment("test")
        self._striking = [
            pool.submit(strike, fault, self._runs[fault.run], self._place) for fault in round_.faults
        ]
        self._wrong = pool.submit(go_wrong, self._place)
        running = [pool.submit(self._start, auditor, run) for run in others]
        sweeps = [pool.submit(self._sweep_at, at) for at in round_.sweeps]
        for each in (*running, *sweeps, *self._striking, self._wrong):
            each.result()
        for run in others:
            self._judge_end(auditor, run)
        self._kill_sweeps()
        self._two_sweeps()
        self._judge_dead(auditor, others)
        self._place.others_over.touch()
        living.result()
        self._judge_end(auditor, bystander)
        self._end()
        self._judge(auditor)

    def _start(self, auditor: Auditor, run: StartedRun) -> None:
        if run.run.after is not None:
            self._runs[run.run.after].over.wait()
        time.sleep(run.run.delay)
        run.start()
        self._live(auditor, run)

    def _live(self, auditor: Auditor, run: StartedRun) -> None:
        run.wait(_RUN_SECONDS if self._round.kind == PLAIN else _RUN_SECONDS_SPARK)
        self._watch_end(auditor, run)

    def _watch_end(self, auditor: Auditor, run: StartedRun) -> None:
        """See when a run that has ended has nothing left that acts, and when nothing at all."""
        ids = auditor.ids_of(run)
        if ids:
            self._watched.add(run.number)
        while ids and run.number not in self._clean and not self._is_seen(run):
            now = time.monotonic()
            if not auditor.left_of(ids, only_what_acts=True):
                self._inert.setdefault(run.number, now)
                if not auditor.left_of(ids, only_what_acts=False):
                    self._clean[run.number] = now
            time.sleep(_LOOK_SECONDS)

    def _is_seen(self, run: StartedRun) -> bool:
        """Tell whether there is nothing more to be seen of a run that has ended."""
        if self._wrong is None or not all(each.done() for each in (self._wrong, *self._striking)):
            return False
        if run.number in self._inert and self._is_left_to_sweep(run):
            return True
        return time.monotonic() > self._right_since(run) + self._clean_seconds + _PATIENCE_SECONDS

    def _right_since(self, run: StartedRun) -> float:
        """Return from when on nothing hindered the cleaning after a run."""
        wrong = self._wrong.result() if self._wrong is not None else None
        return max([run.ended, wrong or 0.0, *(each.over for each in self._strikes_of(run))])

    def _strikes(self) -> list[Strike]:
        return [found for each in self._striking if (found := each.result()) is not None]

    def _strikes_of(self, run: StartedRun) -> list[Strike]:
        return [each for each in self._strikes() if each.fault.run == run.number]

    def _judge_end(self, auditor: Auditor, run: StartedRun) -> None:
        """Say how long it took until nothing of a run was left, and whether that was too long."""
        ids = auditor.ids_of(run)
        if not ids:
            return
        is_swept = self._is_left_to_sweep(run)
        at = (self._inert if is_swept else self._clean).get(run.number)
        if at is None:
            left = auditor.left_of(ids, only_what_acts=is_swept)
            # Of one that was killed before it said which session it has, that may be known too late to be watched.
            if left or run.number in self._watched:
                self._result.violations.append(f"run {run.number}: still left: {left}")
            return
        seconds = max(0.0, at - self._right_since(run))
        signals = sorted({each.fault.what for each in self._strikes_of(run) if each.role == "pytest"}) or [
            "by itself"
        ]
        self._result.cleans.append(Clean(" and ".join(signals), seconds, is_swept))
        if seconds > self._clean_seconds:
            self._result.violations.append(f"run {run.number}: clean only after {seconds:.1f} s")

    def _is_left_to_sweep(self, run: StartedRun) -> bool:
        """Tell whether what cleans may have been hindered, so that a sweep has to."""
        if self._round.surroundings in OF_ROOT:
            return True
        return any(
            (each.role == "keeper" and each.fault.what == "kill -9") or each.role == "file"
            for each in self._strikes_of(run)
        )

    def _sweep_at(self, seconds: float) -> None:
        time.sleep(seconds)
        self._finish(self._start_sweep())

    def _start_sweep(self, *options: str) -> subprocess.Popen[str]:
        environ = self._place.environ(0)
        prefix = AS_NOBODY if self._place.is_of_nobody else ()
        command = [*prefix, sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--delete", *options]
        return subprocess.Popen(
            command,
            env=environ,
            cwd=self._place.user,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _finish(self, sweep: subprocess.Popen[str]) -> str:
        output = sweep.communicate(timeout=_PATIENCE_SECONDS)[0]
        self._result.outputs.append(f"-- sweep, exit {sweep.returncode}\n{output}")
        if "Traceback" in output:
            self._result.violations.append("a sweep had no words for users")
        return output

    def _kill_sweeps(self) -> None:
        for after in self._round.killed_sweeps:
            sweep = self._start_sweep()
            time.sleep(after)
            # It is this process's child, so the number is still its own.
            sweep.send_signal(signal.SIGKILL)
            sweep.communicate()

    def _two_sweeps(self) -> None:
        both = [self._start_sweep("--json") for _ in range(2)]
        for sweep in both:
            output = self._finish(sweep)
            if sweep.returncode:
                self._result.violations.append(f"a sweep ended with {sweep.returncode}")
            else:
                self._reported |= {left["name"] for left in json.loads(output)["reported"]}

    def _judge_dead(self, auditor: Auditor, dead: list[StartedRun]) -> None:
        """After the sweeps, what is left of the dead is only what they have reported as past judging."""
        for run in dead:
            is_damaged = any(each.role == "file" for each in self._strikes_of(run))
            for left in auditor.left_of(auditor.ids_of(run), only_what_acts=False):
                is_reported = any(name in left for name in self._reported)
                if not (is_damaged and is_reported and left.startswith("directory")):
                    self._result.violations.append(f"run {run.number}: left after the sweeps: {left}")

    def _end(self) -> None:
        """End the spares, and sweep what was kept of failed tests, and what the bystander may have left on a full disk."""
        end = time.monotonic() + _PATIENCE_SECONDS
        # One that is being made does not answer at once, and is asked again.
        while "does not answer" in self._finish(self._start_sweep("--spares")) and time.monotonic() < end:
            pass
        self._finish(self._start_sweep("--kept"))

    def _judge(self, auditor: Auditor) -> None:
        result = self._result
        result.strikes = self._strikes()
        result.violations += auditor.violations()
        for run in self._runs:
            result.violations += violations_of_run(run, self._round, self._strikes())
            result.outputs.append(f"-- run {run.number}, exit {run.code}\n{run.output}")
        result.violations += [
            each for each in self._left(auditor) if not any(name in each for name in self._reported)
        ]
        result.violations += auditor.changed()

    def _left(self, auditor: Auditor) -> list[str]:
        end = time.monotonic() + self._clean_seconds
        while (left := auditor.left()) and time.monotonic() < end:
            time.sleep(0.05)
        return left
