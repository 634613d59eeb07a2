"""Has a JVM start its Python workers by our daemon (``worker_path/isolated_emr_daemon.py``), half a second sooner."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_WORKER_PATH = Path(__file__).parent / "worker_path"
_SETTING = "spark.python.daemon.module"
_MODULE = "isolated_emr_daemon"


def with_daemon(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings of a JVM with the daemon, unless there is another one among them.

    :param settings: all of the JVM's. Its environment has to be what :func:`with_worker_path` makes of one.
    """
    return {_SETTING: _MODULE, **settings}


def with_worker_path(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a JVM's environment by which its Python workers find the daemon.

    :param environ: the environment.
    """
    path = [environ.get("PYTHONPATH", ""), str(_WORKER_PATH)]
    return {**environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
