"""``spark-example`` and ``run-example``: an example of Spark's by the name of its class.

The Spark of ``SPARK_HOME`` may be a distribution, which has the examples' jar. pyspark's package has the Python examples
alone: of these, the one that computes the same stands in for a class.
https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-commandrunner.html
"""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_isolated_emr.emr.commands.context import CommandContext, say
from pytest_isolated_emr.emr.commands.spark_submit import submit
from pytest_isolated_emr.emr.commands.submit_options import SubmitOptions

_PACKAGE = "org.apache.spark.examples."
#: What guides and operators' examples run, and the Python example that does the same.
_IN_PYTHON = {"JavaSparkPi": "pi.py", "JavaWordCount": "wordcount.py", "SparkPi": "pi.py"}


def main() -> None:
    """Run an example; does not return."""
    parsed = SubmitOptions.parse(sys.argv[1:])
    if not parsed.primary:
        sys.exit("Usage: spark-example [options] example-class [example args]")
    options = sys.argv[1 : -len(parsed.arguments) - 1]
    name = parsed.primary.removeprefix(_PACKAGE)
    context = CommandContext.of_this_process()
    examples = Path(context.spark.home, "examples")
    jars = sorted((examples / "jars").glob("*.jar"))
    own = next((jar for jar in jars if jar.name.startswith("spark-examples_")), None)
    in_python = examples / "src" / "main" / "python" / _IN_PYTHON.get(name, "none")
    if own is not None:
        others = [str(jar) for jar in jars if jar != own]
        more = ["--jars", ",".join(others)] if others else []
        submit(context, [*options, "--class", _PACKAGE + name, *more, str(own), *parsed.arguments])
    if not in_python.is_file():
        sys.exit(
            f"isolated-emr: the example {name} is not here: {context.spark.home} has no jar of Spark's examples, as "
            "pyspark's package has none; let SPARK_HOME be a distribution of Spark"
        )
    say(f"{in_python.name} of Spark's Python examples stands in for {name}")
    submit(context, [*options, str(in_python), *parsed.arguments])


if __name__ == "__main__":
    main()
