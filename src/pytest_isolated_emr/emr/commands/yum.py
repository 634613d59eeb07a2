"""``yum`` and ``dnf`` in a cluster: nothing is installed, since it would be on the machine of whoever runs the tests."""

from __future__ import annotations

import sys

from pytest_isolated_emr.emr.commands.context import say


def main() -> None:
    """Say what would have been done."""
    say(f"yum {' '.join(sys.argv[1:])}: nothing is installed; what the machine has is used")


if __name__ == "__main__":
    main()
