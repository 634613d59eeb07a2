"""The programs that a cluster's commands find: those of EMR's instances, as far as they are here.

Some run (``emr.commands``), some do nothing since they would change the machine of whoever runs the tests, and some
are not here: each of these says so, and what to do.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pytest_isolated_emr.emr.cluster_spark import ClusterSpark

_MODULES = "pytest_isolated_emr.emr.commands"
#: The module below that stands for a program.
COMMANDS = {
    "spark-submit": "spark_submit",
    "spark-sql": "spark_sql",
    "spark-shell": "spark_shell",
    "spark-connect-session": "spark_connect_session",
    "spark-example": "spark_example",
    "run-example": "spark_example",
    "s3-dist-cp": "s3_dist_cp",
    "hadoop": "hadoop",
    "hdfs": "hdfs",
    "yarn": "yarn",
    "sudo": "sudo",
    "shutdown": "shutdown",
    "poweroff": "shutdown",
    "halt": "shutdown",
    "reboot": "shutdown",
}
_MACHINE = (
    "nothing is done, since it would change the machine that runs the tests; what that machine has is used"
)
#: Programs that succeed without doing anything, and why.
WITHOUT_EFFECT = {
    "amazon-linux-extras": _MACHINE,
    "chkconfig": _MACHINE,
    "dnf": _MACHINE,
    "rpm": _MACHINE,
    "service": _MACHINE,
    "systemctl": _MACHINE,
    "yum": _MACHINE,
    "state-pusher-script": "nothing is done, since Amazon's debugging tool is not here",
}
_SPARK_INSTEAD = "of EMR's applications Spark alone is; write it for spark-sql or spark-submit"
_NOT_A_CLUSTER = "of EMR's applications Spark alone is; keep its tests off the local backend"
#: Programs that are not here unless the machine has them, and what to do.
ABSENT = {
    "aws": "install the AWS command line where the tests run, or in their image: pip install awscli",
    "beeline": _SPARK_INSTEAD,
    "emrfs": "S3 is consistent by itself; leave the command out",
    "flink": _NOT_A_CLUSTER,
    "flink-yarn-session": _NOT_A_CLUSTER,
    "hadoop-streaming": "Spark ships no Hadoop streaming; write the job for Spark, or run its mapper and reducer in bash",
    "hbase": _NOT_A_CLUSTER,
    "hcat": _SPARK_INSTEAD,
    "hive": _SPARK_INSTEAD,
    "hive-script": _SPARK_INSTEAD,
    "mahout": _SPARK_INSTEAD,
    "mapred": "Spark ships no MapReduce; hadoop fs and hadoop jar are here",
    "oozie": _NOT_A_CLUSTER,
    "pig": _SPARK_INSTEAD,
    "pig-script": _SPARK_INSTEAD,
    "presto": _SPARK_INSTEAD,
    "presto-cli": _SPARK_INSTEAD,
    "sqoop": _SPARK_INSTEAD,
    "trino": _SPARK_INSTEAD,
    "trino-cli": _SPARK_INSTEAD,
}
#: Where programs are on EMR's instances.
_DIRECTORIES = frozenset(
    {
        "/bin",
        "/sbin",
        "/usr/bin",
        "/usr/sbin",
        "/usr/local/bin",
        "/usr/lib/hadoop/bin",
        "/usr/lib/hadoop-hdfs/bin",
        "/usr/lib/hadoop-yarn/bin",
        "/usr/lib/spark/bin",
    }
)
#: S3DistCp as a step's jar, also by its path of old releases.
_S3_DIST_CP_JAR = ("s3-dist-cp.jar", "emr-s3distcp-1.0.jar")


def make_programs(directory: Path, absent: Path, spark: ClusterSpark) -> None:
    """Write the programs.

    :param directory: a new directory, for the first place on PATH.
    :param absent: a new directory, for the last place: whatever the machine has comes before.
    :param spark: says what runs them, and the interpreter that ``python3`` is.
    """
    directory.mkdir(mode=0o700)
    absent.mkdir(mode=0o700)
    ours, python = shlex.join(spark.program), shlex.quote(spark.python)
    for name, module in COMMANDS.items():
        _write(directory / name, f'exec {ours} {_MODULES}.{module} "$@"')
    # Links would not do: an interpreter of a virtual environment knows it by its own place.
    for name in ("python3", "python"):
        _write(directory / name, f'exec {python} "$@"')
    for name in ("pip3", "pip"):
        _write(directory / name, _pip(python, spark.pip_hint))
    for name, why in WITHOUT_EFFECT.items():
        _write(directory / name, f'echo "isolated-emr: {name} $*:" {shlex.quote(why)} >&2')
    for name, advice in ABSENT.items():
        _write(
            absent / name, f"echo {shlex.quote(f'isolated-emr: {name} is not here: {advice}')} >&2\nexit 127"
        )


def program_of(word: str, directory: Path, *, is_there: Callable[[str], bool]) -> str:
    """Return what the first word of a command means here: an absolute path may be one of EMR's instances.

    :param word: such as ``/usr/bin/spark-submit``.
    :param directory: the cluster's programs.
    :param is_there: tells whether a command of the cluster would find an absolute path.
    """
    path = PurePosixPath(word)
    if str(path.parent) not in _DIRECTORIES:
        return word
    if (directory / path.name).is_file():
        return str(directory / path.name)
    return word if is_there(word) else path.name


def is_s3_dist_cp(jar: str) -> bool:
    """Tell whether a jar is that of S3DistCp on EMR's instances.

    :param jar: its path or URL.
    """
    return PurePosixPath(jar).name in _S3_DIST_CP_JAR


def is_hadoop_streaming(jar: str) -> bool:
    """Tell whether a jar is that of Hadoop's streaming.

    :param jar: its path or URL.
    """
    name = PurePosixPath(jar).name
    return name.startswith("hadoop-streaming") and name.endswith(".jar")


def _pip(python: str, hint: str) -> str:
    pip = f'{python} -m pip "$@"'
    return (
        f"{pip} || {{ code=$?; echo {shlex.quote(f'isolated-emr: {hint}')} >&2; exit $code; }}"
        if hint
        else f"exec {pip}"
    )


def _write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o700)
