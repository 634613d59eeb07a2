"""``sudo`` in a cluster: the command, as the user who runs the tests. A test must not change their machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pytest_isolated_emr.emr.cluster_directory import DIRECTORY_VARIABLE
from pytest_isolated_emr.emr.programs import program_of

#: Options of sudo that take a value.
_WITH_VALUE = ("-u", "-g", "-C", "-p", "-h")


def main() -> None:
    """Run the command without any privilege; does not return."""
    arguments = sys.argv[1:]
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option in _WITH_VALUE and arguments:
            arguments.pop(0)
    while arguments and "=" in arguments[0]:
        name, _, value = arguments.pop(0).partition("=")
        os.environ[name] = value
    if arguments:
        try:
            programs = Path(os.environ[DIRECTORY_VARIABLE], "bin")
            program = program_of(arguments[0], programs, is_there=lambda path: Path(path).exists())
            os.execvp(program, arguments)
        except OSError as error:
            sys.exit(f"sudo: {arguments[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
