"""``hadoop``: ``hadoop fs`` and ``hadoop jar`` on Spark's own Hadoop."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pytest_isolated_emr.emr.commands import s3_dist_cp
from pytest_isolated_emr.emr.commands.context import CommandContext
from pytest_isolated_emr.emr.programs import ABSENT, is_hadoop_streaming, is_s3_dist_cp

_CLASSES = {
    "fs": "org.apache.hadoop.fs.FsShell",
    "dfs": "org.apache.hadoop.fs.FsShell",
    "jar": "org.apache.hadoop.util.RunJar",
    "version": "org.apache.hadoop.util.VersionInfo",
}
_NOT_HERE = 'isolated-emr: "{program} {command}" is not here: of Hadoop, Spark has fs and jar alone'


def main() -> None:
    """Run a command of ``hadoop``; does not return."""
    run("hadoop", sys.argv[1:])


def run(program: str, arguments: Sequence[str]) -> NoReturn:
    """Run a command of Hadoop's.

    :param program: its name, for messages.
    :param arguments: its command line.
    """
    options = []
    waiting = list(arguments)
    while waiting and waiting[0].startswith("-D"):
        options.append(waiting.pop(0))
    command = waiting.pop(0) if waiting else ""
    if command not in _CLASSES:
        sys.exit(_NOT_HERE.format(program=program, command=command))
    context = CommandContext.of_this_process()
    if command == "jar" and waiting and not Path(waiting[0]).exists():
        if is_s3_dist_cp(waiting[0]):
            sys.exit(s3_dist_cp.copy(context, waiting[1:]))
        if is_hadoop_streaming(waiting[0]):
            sys.exit(f"isolated-emr: {waiting[0]} is not here: {ABSENT['hadoop-streaming']}")
    spark = context.spark
    java = str(Path(spark.java_home, "bin", "java"))
    class_path = [str(context.directory / "conf"), spark.class_path, str(Path(spark.home, "jars", "*"))]
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
    line = [
        java,
        *quick,
        *options,
        f"-Djava.io.tmpdir={context.directory / 'tmp'}",
        "-cp",
        os.pathsep.join(class_path),
    ]
    os.execv(java, [*line, _CLASSES[command], *waiting])


if __name__ == "__main__":
    main()
