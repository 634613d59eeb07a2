"""Runs a module by a Python that does not have this package: ``python -I …/run.py MODULE ARGUMENTS``.

What the programs of a cluster import is beside the package then, and on nobody else's path.
"""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rsplit("/", 4)[0])
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
