"""What a run may say and how it may end, by what befell it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.chaos.plan import (
    FEW_FILES,
    FEW_PORTS,
    FULL_DISK,
    READ_ONLY,
    Round,
)
from tests.chaos.started_run import StartedRun
from tests.chaos.strikes import Strike

#: Each error of ours has one.
_CODE = re.compile(r"\bIE\d{3}\b")
#: Errors of ours that say only that something unforeseen happened, and Python's own.
_NO_WORDS = re.compile(r"INTERNALERROR|Traceback \(most recent call last\)|\bIE206\b|Exception ignored in")
#: How pytest-xdist shows that a worker could not start, whatever that has said of it.
_WORKER_THAT_ENDED = re.compile(r"node down: Traceback .*?^SystemExit: 75$", re.DOTALL | re.MULTILINE)
#: How an error of ours quotes the log of what was killed.
_QUOTED_LOG = re.compile(r"; its log \S+ ends with:\n.*?^  to do:", re.DOTALL | re.MULTILINE)
_SKIPPED = re.compile(r"\b\d+ (skipped|xfailed|deselected)\b")
_PASSED = re.compile(r"\b(\d+) passed\b")

#: What a test itself may meet of a machine with something the matter, in the system's words.
_SYSTEMS_WORDS = {
    FULL_DISK: ("No space left on device", "Errno 28"),
    READ_ONLY: ("Permission denied", "Errno 13"),
    FEW_FILES: ("Too many open files", "Errno 24"),
    FEW_PORTS: ("Cannot assign requested address", "Address already in use", "Errno 98", "Errno 99"),
}


def violations_of_run(run: StartedRun, round_: Round, strikes: Sequence[Strike]) -> list[str]:
    """Return what is wrong with how a run ended, and with what it said.

    :param run: which one; it has ended.
    :param round_: the round.
    :param strikes: what befell the round.
    """
    return [f"run {run.number}: {words}" for words in _violations(run, round_, strikes)]


def _violations(run: StartedRun, round_: Round, strikes: Sequence[Strike]) -> list[str]:
    own = [strike for strike in strikes if strike.fault.run == run.number]
    signals = {strike.fault.what for strike in own if strike.role == "pytest"}
    output = run.output
    if run.is_hanging:
        return ["it does not end"]
    if run.run.is_off:
        return _of_off(run, output)
    found = []
    if _SKIPPED.search(output):
        found.append("a test was skipped")
    if (run.code == -9 and "kill -9" in signals) or (run.code == -15 and "SIGTERM" in signals):
        # There was nobody left to say anything.
        return found
    if run.code in (2, -2) and any(
        strike.fault.what == "SIGINT" and strike.role in ("pytest", "worker") for strike in own
    ):
        # Python's own words, where it comes after pytest has left off to care for it.
        return found
    if run.code == 3 and "execnet" in output and any(strike.role == "worker" for strike in own):
        # Pytest-xdist has no words for a worker that ends before it has said hello.
        return found
    own_words = _QUOTED_LOG.sub("", _WORKER_THAT_ENDED.sub("", output))
    if words := _NO_WORDS.search(own_words):
        found.append(f"no words for users: {words[0]}")
    all_passed = run.code == 0 and (count := _PASSED.search(output)) and int(count[1]) == len(run.run.pieces)
    if all_passed:
        return found
    if run.code not in (1, 75):
        found.append(f"it ended with {run.code}")
    if not _may_fail(run, round_, own):
        found.append("it failed, though nothing that befell it may fail it")
    elif not _is_told(run, round_, output, own):
        found.append("it failed, and says nothing that is of use")
    return found


def _of_off(run: StartedRun, output: str) -> list[str]:
    found = [] if run.code == 0 else [f"without the option it ended with {run.code}"]
    if "isolated-emr:" in output:
        found.append("without the option the plugin said something")
    return found


def _may_fail(run: StartedRun, round_: Round, strikes: Sequence[Strike]) -> bool:
    if round_.surroundings in (FULL_DISK, READ_ONLY) or run.run.surroundings in (FEW_FILES, FEW_PORTS):
        return True
    return any(_is_harmful(strike) for strike in strikes)


def _is_harmful(strike: Strike) -> bool:
    if strike.role in ("file", "spare"):
        return False
    if strike.fault.what.startswith("SIGSTOP"):
        return False
    # A keeper has to go on cleaning.
    return not (strike.role == "keeper" and strike.fault.what != "kill -9")


def _is_told(run: StartedRun, round_: Round, output: str, strikes: Sequence[Strike]) -> bool:
    if _CODE.search(output):
        return True
    # What is a test's own process ends with the words of pytest-xdist, of a step or of the test itself.
    if any(_is_harmful(strike) and strike.role in ("worker", "other") for strike in strikes):
        return True
    if any(strike.role == "pytest" and strike.fault.what == "SIGINT" for strike in strikes):
        return True
    words = _SYSTEMS_WORDS.get(round_.surroundings, ())
    return any(word in output for word in words)
