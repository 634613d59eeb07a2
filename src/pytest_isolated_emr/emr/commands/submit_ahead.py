"""``spark-submit`` before there is a step for it: it has a JVM started, and waits for its arguments on standard input.

It runs in the environment and the directory of the step that will be. Without a line there, as the cluster or its session
has ended, it ends.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys

from pytest_isolated_emr.emr.commands import spark_submit
from pytest_isolated_emr.emr.commands.context import CommandContext
from pytest_isolated_emr.emr.commands.jvm_ahead import JvmAhead
from pytest_isolated_emr.emr.commands.submit_options import SubmitOptions


def main() -> None:
    """Wait, and submit a job; does not return then."""
    context = CommandContext.of_this_process()
    options = SubmitOptions.parse(sys.argv[1:])
    # The step will hear of it.
    with contextlib.redirect_stderr(io.StringIO()):
        variables = spark_submit.settle(context, options)
    jvm = JvmAhead.start(context, options, variables)
    line = sys.stdin.buffer.readline()
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    if jvm is not None and not (line and jvm.is_ready()):
        jvm.end()
        jvm = None
        # What it has printed is not the step's.
        for stream in (sys.stdout, sys.stderr):
            os.ftruncate(stream.fileno(), 0)
    if not line:
        return
    spark_submit.submit(context, json.loads(line), jvm)


if __name__ == "__main__":
    main()
