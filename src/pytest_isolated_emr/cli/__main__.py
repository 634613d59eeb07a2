"""``python -m pytest_isolated_emr.cli``: the command line where the script is not on PATH."""

from pytest_isolated_emr.cli import main

main()
