"""What a session and a spare have to have in common: whatever could change what a test sees changes the key."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.given_settings import option
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.environment import is_of_jvm, user_conf_directory
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.java import Java

#: xdist's options: each worker has a Spark of its own, with a part of the machine.
_WORKERS = ("numprocesses", "tx", "dist", "maxprocesses")
#: Settings of how a session begins and ends, not of what it is; buckets are made when a spare is claimed.
_NOT_OF_SPARE = ("retention", "buckets", "warm", "spare_idle", "emr")


def spare_key(
    config: pytest.Config,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    installation: SparkInstallation,
    java: Java,
) -> str:
    """Return the key by which a session finds its spare.

    :param config: pytest's, as early as ``pytest_load_initial_conftests``.
    :param settings: what was asked for.
    :param environ: the user's own environment.
    :param installation: the Spark.
    :param java: the Java.
    """
    parts = {
        "settings": {name: value for name, value in asdict(settings).items() if name not in _NOT_OF_SPARE},
        "process": list(_of_process()),
        "root": str(config.rootpath),
        "cwd": str(Path.cwd()),
        "workers": [repr(option(config, name)) for name in _WORKERS],
        "python": [sys.executable, sys.version, sys.prefix],
        "installed": [_stamp(Path(directory)) for directory in sys.path if directory.endswith("-packages")],
        "plugin": [version("pytest-isolated-emr"), *sorted(_stamps_below(Path(__file__).parent))],
        "spark": [str(installation.home), installation.version, _stamp(installation.jars_dir)],
        "java": [str(java.executable), java.version, _stamp(java.executable)],
        "time zone": [time.tzname, _stamp(Path("/etc/localtime"))],
        "environ": {name: value for name, value in sorted(environ.items()) if is_of_jvm(name)},
        "spark conf": sorted(_contents(user_conf_directory(environ, installation.home))),
    }
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]


def _of_process() -> Iterator[Any]:
    """Yield what a process has from its parent and cannot take over later: users, limits, and what of the machine it
    sees. In another namespace, a container's say, the same socket may be reached, but not what is behind it."""
    yield [os.uname().nodename, os.geteuid(), os.getegid(), sorted(os.getgroups())]
    umask = os.umask(0o077)
    os.umask(umask)
    yield umask
    yield sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    yield [[name, resource.getrlimit(getattr(resource, name))] for name in limits]
    for namespace in ("mnt", "net", "pid", "user", "uts", "ipc"):
        try:
            yield str(Path("/proc/self/ns", namespace).readlink())
        except OSError:
            # Not on this system.
            yield namespace


def _stamp(path: Path) -> list[Any]:
    """Return what changes whenever a file, or what a directory lists, does."""
    try:
        status = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), status.st_ino, status.st_size, status.st_mtime_ns]


def _stamps_below(directory: Path) -> Iterator[list[Any]]:
    for parent, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name != "__pycache__"]
        yield from (_stamp(Path(parent, name)) for name in names)


def _contents(directory: Path) -> Iterator[list[str]]:
    """Yield the files of the user's own configuration, by what is in them: it may be there by a link."""
    for path in directory.glob("*"):
        if path.is_file():
            yield [path.name, hashlib.sha256(path.read_bytes()).hexdigest()]
