"""``yarn``: ``yarn jar``; there is no YARN to ask for logs or applications."""

from __future__ import annotations

import sys

from pytest_isolated_emr.emr.commands.hadoop import run


def main() -> None:
    """Run a command of ``yarn``; does not return."""
    run("yarn", sys.argv[1:])


if __name__ == "__main__":
    main()
