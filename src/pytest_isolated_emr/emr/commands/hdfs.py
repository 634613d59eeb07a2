"""``hdfs``: ``hdfs dfs`` on the cluster's directory that stands for HDFS."""

from __future__ import annotations

import sys

from pytest_isolated_emr.emr.commands.hadoop import run


def main() -> None:
    """Run a command of ``hdfs``; does not return."""
    run("hdfs", sys.argv[1:])


if __name__ == "__main__":
    main()
