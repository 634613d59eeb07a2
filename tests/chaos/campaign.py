"""The fault campaign: ``python -m tests.chaos.campaign --rounds N --seed S``, or ``make chaos``.

Each round is some runs at once, what befalls them, and an audit of the eight promises. A seed gives the same round again:
``--rounds 1 --seed S``. With ``--record FILE`` rounds that are in the file are not run again, so that a campaign that was
cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.wiring import SparkWiring
from tests.chaos.figures import write_docs
from tests.chaos.one_round import Result, run_round
from tests.chaos.plan import DOCKER, PLAIN, SPARK, rounds
from tests.chaos.record import Record

#: What rounds need besides Python, and the Debian package that has it.
_PROGRAMS = {
    "strace": "strace",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "ip": "iproute2",
    "faketime": "faketime",
}


def missing() -> str:
    """Return what this machine lacks for the campaign, in words; empty if nothing."""
    lacks = [
        f"{program} (apt-get install {package})"
        for program, package in _PROGRAMS.items()
        if not shutil.which(program)
    ]
    if os.geteuid():
        lacks.append(
            "root's rights, to mount small disks, to take ports in a network of its own, and to become nobody"
        )
    return ", ".join(lacks)


def report(result: Result, *, is_loud: bool = False) -> str:
    """Return what is printed of a round.

    :param result: what came of it.
    :param is_loud: whether with all that its runs printed, also where nothing is wrong.
    """
    verdict = f"{len(result.violations)} VIOLATIONS" if result.violations else "ok"
    lines = [f"seed {result.round.seed}: {verdict}, {result.seconds:.1f} s: {result.round}"]
    lines += [
        f"    struck {each.role}: {each.fault} ({each.what})"
        for each in result.strikes
        if is_loud or result.violations
    ]
    lines += [f"    ! {violation}" for violation in result.violations]
    if result.violations or is_loud:
        lines += result.outputs
    return "\n".join(lines)


def fetch_jars() -> Path:
    """Return the directory with the jars of the installed Spark."""
    StateRoot.from_environment().open()
    return SparkWiring(Settings(), dict(os.environ)).fetch_jars(print).directory


def main() -> None:
    """Run rounds, and say what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="how many")
    parser.add_argument(
        "--seed", type=int, default=1, help="the first one's; the others have those that follow"
    )
    parser.add_argument("--kind", choices=(PLAIN, SPARK, DOCKER), default=PLAIN, help="what the runs have")
    parser.add_argument("--record", type=Path, help="a file that keeps what came of each round")
    parser.add_argument("--docs", type=Path, help="the page to write the record's figures to")
    parser.add_argument("--loud", action="store_true", help="print all that the runs printed")
    given = parser.parse_args()
    if lacks := missing():
        sys.exit(f"The campaign needs what this machine has not: {lacks}.")
    # As Ctrl-C does: the round that is under way ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    record = Record(given.record)
    jars = fetch_jars()
    violations = 0
    for round_ in rounds(given.seed, given.rounds, given.kind):
        if record.has(round_):
            continue
        result = run_round(round_, jars)
        print(report(result, is_loud=given.loud), flush=True)
        record.add(result)
        violations += len(result.violations)
    if given.docs is not None:
        write_docs(given.docs, record)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
