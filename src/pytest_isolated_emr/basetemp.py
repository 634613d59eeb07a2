"""pytest's directory of temporary files, where a container has to see it before the run that uses it is there."""

from __future__ import annotations

import atexit
import re
from pathlib import Path
from typing import Any

import pytest

# As long pytest takes a lock for that of a run that lives.
_LOCK_SECONDS = 3 * 24 * 3600.0


def of_run(config: pytest.Config) -> str:
    """Return the run's directory if it is one of pytest's own, ``pytest-N``, of which another can be made; else nothing.

    :param config: pytest's.
    """
    factory: Any = getattr(config, "_tmp_path_factory", None)
    path: Path | None = getattr(factory, "_basetemp", None)
    return str(path) if path is not None and re.fullmatch(r"pytest-\d+", path.name) else ""


def use(config: pytest.Config, path: Path) -> None:
    """Have a run use a directory that was made for it, unless it has one already.

    :param config: pytest's, configured.
    :param path: the directory, ``pytest-N`` beside those of other runs.
    """
    factory: Any = getattr(config, "_tmp_path_factory", None)
    if factory is None or factory._basetemp is not None or factory._given_basetemp is not None:
        return
    factory._basetemp = path
    # As pytest does for those that it makes: it keeps the last few.
    from _pytest.pathlib import cleanup_numbered_dir, register_cleanup_lock_removal

    keep = 0 if factory._retention_policy == "none" else factory._retention_count
    register = atexit.register
    if hasattr(factory, "_exit_stack"):
        register = factory._exit_stack.callback
        atexit.register(factory._exit_stack.close)
    register_cleanup_lock_removal(path / ".lock", register)
    register(cleanup_numbered_dir, path.parent, "pytest-", keep, path.stat().st_mtime - _LOCK_SECONDS)
