"""``spark-example``: an example of Spark's by its class (EMR Release Guide, "Run commands and scripts"), where the
installed Spark has the jar of its examples: a distribution does, pyspark's package does not."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_isolated_emr.emr.commands.context import CommandContext
from pytest_isolated_emr.emr.commands.spark_submit import submit

_PACKAGE = "org.apache.spark.examples."


def main() -> None:
    """Run an example; does not return."""
    if len(sys.argv) < 2:
        sys.exit("Usage: spark-example <example-class> [example-args]")
    context = CommandContext.of_this_process()
    jars = sorted(Path(context.spark.home, "examples", "jars").glob("spark-examples_*.jar"))
    if not jars:
        sys.exit(
            f"isolated-emr: spark-example: {context.spark.home} has no jar of Spark's examples, as pyspark's package "
            "has none: let SPARK_HOME be a distribution of Spark"
        )
    name, *arguments = sys.argv[1:]
    example = name if name.startswith(_PACKAGE) else _PACKAGE + name
    others = [str(jar) for jar in jars[0].parent.glob("*.jar") if jar != jars[0]]
    more = ["--jars", ",".join(others)] if others else []
    submit(context, ["--class", example, *more, str(jars[0]), *arguments])


if __name__ == "__main__":
    main()
