"""What can be counted, and is the same however busy the machine is: classes loaded, requests, bytes fetched."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.modes import Mode
from benchmarks.runs import SUITES, project, run_pytest
from benchmarks.suites import ALL, TEN

CLASSES, SHARED = "classes loaded", "of them from an archive"
_LOG = "-Xlog:class+load:file={}"


def count_classes(mode: Mode) -> dict[str, int]:
    """Return how many classes the JVM of the ten tests loads, and how many of them from an archive.

    :param mode: a way in which the suite's process starts the JVM.
    """
    directory = project("classes")
    next(suite for suite in ALL if suite.name == TEN).lay(directory)
    # The JVM has it from its environment, so that it is the same for the peer.
    run_pytest(
        mode.arguments,
        directory,
        mode.environ | {"JDK_JAVA_OPTIONS": _LOG.format(directory / "classes-%p.log")},
    )
    # One for each JVM; Spark's launcher is one, too, and loads few.
    lines = max((_lines(log) for log in directory.glob("classes-*.log")), key=len)
    loaded = [line for line in lines if " source: " in line]
    return {CLASSES: len(loaded), SHARED: sum("source: shared object" in line for line in loaded)}


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def count_requests(mode: Mode) -> dict[str, int]:
    """Return how many requests reach the endpoint for each kind of write to S3.

    :param mode: a way of ours.
    """
    directory = project("requests")
    (directory / "test_requests.py").write_text((SUITES / "test_requests.py").read_text())
    finished = run_pytest(["-s", *mode.arguments], directory, mode.environ)
    found = re.findall(r"^requests: (.+): (\d+)$", finished.output, re.MULTILINE)
    return {what: int(number) for what, number in found}
