"""``spark-shell``: Spark's own, on the session's Spark; in a step it reads from a pipe, or ``-i`` a file."""

from __future__ import annotations

import os
import sys

from pytest_isolated_emr.emr.commands.context import CommandContext
from pytest_isolated_emr.emr.commands.spark_submit import submit

_CLASS = "org.apache.spark.repl.Main"


def main() -> None:
    """Run the shell; does not return."""
    # As Spark's own script does: the compiler of the shell sees the JVM's class path.
    os.environ["SPARK_SUBMIT_OPTS"] = (
        f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} -Dscala.usejavacp=true".strip()
    )
    submit(CommandContext.of_this_process(), ["--class", _CLASS, "--name", "Spark shell", *sys.argv[1:]])


if __name__ == "__main__":
    main()
