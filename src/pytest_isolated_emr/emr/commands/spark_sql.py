"""``spark-sql``: Spark's own, on the session's Spark."""

from __future__ import annotations

import sys

from pytest_isolated_emr.emr.commands.context import CommandContext
from pytest_isolated_emr.emr.commands.s3_files import download, is_remote
from pytest_isolated_emr.emr.commands.spark_submit import submit

_CLASS = "org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver"
#: Its own options, which take a file or a text; all others are spark-submit's.
_OWN = ("-e", "-f", "-i", "-d", "--define", "--hivevar", "--hiveconf", "--database")


def main() -> None:
    """Run statements; does not return."""
    context = CommandContext.of_this_process()
    submitted, own = [], []
    waiting = sys.argv[1:]
    while waiting:
        argument = waiting.pop(0)
        if argument in _OWN and waiting:
            value = waiting.pop(0)
            if argument in ("-f", "-i") and is_remote(value):
                value = str(download(value, context.directory / "tmp"))
            own += [argument, value]
        elif argument in ("-S", "-v", "--silent"):
            own.append(argument)
        else:
            submitted.append(argument)
    # As Spark's own script does.
    submit(context, ["--class", _CLASS, *submitted, "spark-internal", *own])


if __name__ == "__main__":
    main()
