"""Settings of Spark, S3A and Java, each alone beside what a session starts with, in turns.

What is compared is a suite as a whole process: seconds of the clock, and of processors, which other work on the machine
disturbs less.
"""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.modes import Mode
from benchmarks.runs import SUITES, TOTAL, project, run_pytest

PROCESSOR = "processor seconds"
BASE = "as it is"
AGAIN = f"{BASE}, again"

#: What most changes are measured on.
USUAL_SUITE = ("test_ten.py", "test_s3.py")
STREAM = ("test_stream.py",)

#: Lets a suite's own settings and Java options win over the session's, as a user's do.
_CONFTEST = """
import json, os

def pytest_isolated_emr_spark_conf(config, conf):
    given = json.loads(os.environ["BENCH_CONF"])
    options = given.pop("java", "")
    conf.update(given)
    if options:
        conf["spark.driver.extraJavaOptions"] = options
"""


@dataclass(frozen=True)
class Variant:
    """A change of settings.

    :param name: for the table.
    :param conf: Spark's settings.
    :param java: Java options, which come after the session's and win.
    :param takes_back: the session's own setting that this one is the default of.
    :param why_not: why it is not kept.
    :param suite: the files that it is measured on.
    """

    name: str
    conf: Mapping[str, str] = field(default_factory=dict)
    java: str = ""
    takes_back: str = ""
    why_not: str = ""
    suite: tuple[str, ...] = USUAL_SUITE


#: What has no gain together has none alone.
_SERVICES = {
    "spark.cleaner.referenceTracking": "false",
    "spark.executor.heartbeatInterval": "1h",
    "spark.network.timeout": "2h",
    "spark.metrics.staticSources.enabled": "false",
    "spark.ui.liveUpdate.period": "-1",
    "spark.ui.retainedJobs": "1",
    "spark.ui.retainedStages": "1",
    "spark.sql.ui.retainedExecutions": "1",
}
_COMPRESSION = {
    "spark.broadcast.compress": "false",
    "spark.shuffle.compress": "false",
    "spark.shuffle.spill.compress": "false",
}
_CODEGEN = {"spark.sql.codegen.wholeStage": "false"}
_NO_CODEGEN = {**_CODEGEN, "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
_POOLS = {"fast.upload.buffer": "bytebuffer", "connection.maximum": "16", "threads.max": "8"}

TAKEN_BACK = [
    Variant(
        "`200`, Spark's default",
        {"spark.sql.shuffle.partitions": "200"},
        takes_back="spark.sql.shuffle.partitions=1",
    ),
    Variant(
        "`200`, Spark's default, in a stream that counts in two batches",
        {"spark.sql.shuffle.partitions": "200"},
        takes_back="spark.sql.shuffle.partitions=1",
        suite=STREAM,
    ),
    Variant("`true`, Spark's default", {"spark.ui.enabled": "true"}, takes_back="spark.ui.enabled=false"),
    Variant("4, Java's default", java="-XX:TieredStopAtLevel=4", takes_back="-XX:TieredStopAtLevel=1"),
    Variant("G1, Java's default", java="-XX:-UseSerialGC -XX:+UseG1GC", takes_back="-XX:+UseSerialGC"),
    Variant(
        "the parallel collector", java="-XX:-UseSerialGC -XX:+UseParallelGC", takes_back="-XX:+UseSerialGC"
    ),
    Variant("21m, Java's default", java="-XX:MetaspaceSize=21m", takes_back="-XX:MetaspaceSize=256m"),
]
TRIED = [
    Variant(
        "`spark.sql.adaptive.enabled=false`",
        {"spark.sql.adaptive.enabled": "false"},
        why_not="it gains a little, but plans, and so numbers of partitions and files, would not be EMR's",
    ),
    Variant(
        "`spark.sql.codegen.wholeStage=false`",
        _CODEGEN,
        why_not="it gains, but plans and what `explain` says would not be EMR's",
    ),
    Variant(
        "the same and `spark.sql.codegen.factoryMode=NO_CODEGEN`",
        _NO_CODEGEN,
        why_not="plans would not be EMR's, and the second is for Spark's own tests",
    ),
    Variant(
        "no context cleaner, no heartbeats, no metrics, no history for the UI", _SERVICES, why_not="no gain"
    ),
    Variant("no compression of shuffles and broadcasts", _COMPRESSION, why_not="no gain"),
    Variant(
        "S3A's buffers in memory, pools of 8 and 16",
        {f"spark.hadoop.fs.s3a.{name}": value for name, value in _POOLS.items()},
        why_not="no gain",
    ),
    Variant(
        "the file committer's algorithm 2",
        {"spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2"},
        why_not="what a failed job leaves in its target would not be EMR's",
    ),
    Variant(
        "`spark.log.level=ERROR`",
        {"spark.log.level": "ERROR"},
        why_not="warnings are part of what a test shows",
    ),
    Variant("`-Xms512m -Xmn256m`", java="-Xms512m -Xmn256m", why_not="no gain"),
    Variant(
        "`-XX:-BytecodeVerificationRemote`",
        java="-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote",
        why_not="it gains, but a damaged class would crash the JVM where it should be an error, and Java has deprecated it",
    ),
    Variant(
        "`-XX:CICompilerCount=1`",
        java="-XX:CICompilerCount=1",
        why_not="it gains a little, but no JVM starts with it in which the optimizing compiler is on by a user's option",
    ),
    Variant("`-Xss512k`", java="-Xss512k", why_not="deep plans need the stack"),
]
VARIANTS = [*TAKEN_BACK, *TRIED]


def measure(
    mode: Mode, rounds: int, variants: Sequence[Variant] = VARIANTS
) -> dict[str, dict[str, list[float]]]:
    """Run the suite with each change between two runs without; return ratios to the mean of those two.

    :param mode: a way of ours.
    :param rounds: how often.
    :param variants: the changes.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for suite in dict.fromkeys(each.suite for each in variants):
        base = Variant(BASE, suite=suite)
        of_suite = [each for each in variants if each.suite == suite]
        if suite == USUAL_SUITE:
            # Once with no change: how far that is from 1 says how much is noise.
            of_suite.insert(0, Variant(AGAIN))
        # It warms the disk's cache.
        _run(mode, base)
        before = _run(mode, base)
        for _ in range(rounds):
            for each in of_suite:
                measured, after = _run(mode, each), _run(mode, base)
                figures = found.setdefault(each.name, {})
                for key, value in measured.items():
                    figures.setdefault(key, []).append(2 * value / (before[key] + after[key]))
                before = after
                print(each.name, {key: round(values[-1], 2) for key, values in figures.items()}, flush=True)
    return found


def _run(mode: Mode, variant: Variant) -> dict[str, float]:
    directory = project("settings")
    for name in variant.suite:
        shutil.copy(SUITES / name, directory)
    (directory / "conftest.py").write_text(_CONFTEST)
    given = {**variant.conf, "java": variant.java}
    before = _processor_seconds()
    finished = run_pytest(mode.arguments, directory, mode.environ | {"BENCH_CONF": json.dumps(given)})
    return {TOTAL: finished.figures()[TOTAL], PROCESSOR: _processor_seconds() - before}


def _processor_seconds() -> float:
    # Each process of a session is waited for by who started it, up to pytest.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
