"""A pytest plugin that writes what the session's processes have in RAM when the last test has ended."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

MEMORY_VARIABLE = "BENCH_MEMORY"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    # Not before: it would be in the memory of all that the tests do.
    import psutil

    from benchmarks import memory

    Path(os.environ[MEMORY_VARIABLE]).write_text(json.dumps(memory.now(psutil.Process())))
