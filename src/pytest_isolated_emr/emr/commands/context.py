"""What a program of a cluster knows of its cluster."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pytest_isolated_emr.emr.cluster_directory import DIRECTORY_VARIABLE, SPARK_FILE
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark


@dataclass(frozen=True)
class CommandContext:
    """The cluster that a program runs in.

    :param directory: the cluster's directory.
    :param spark: its Spark.
    """

    directory: Path
    spark: ClusterSpark

    @classmethod
    def of_this_process(cls) -> CommandContext:
        """Return the cluster that this process runs in."""
        directory = os.environ.get(DIRECTORY_VARIABLE)
        if not directory:
            sys.exit("isolated-emr: this program works only in a step or a bootstrap action of a cluster")
        return cls(Path(directory), ClusterSpark.read(Path(directory) / SPARK_FILE))


def say(text: str) -> None:
    """Tell the reader of a step's log what was done in another way than on EMR.

    :param text: one line.
    """
    print(f"isolated-emr: {text}", file=sys.stderr, flush=True)
