"""What a session and a spare have to have in common: whatever could change what a test sees changes the key."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.given_settings import option
from pytest_isolated_emr.lifecycle.host import boot_id
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.environment import is_of_jvm, user_conf_directory
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.java import Java

#: xdist's options: each worker has a Spark of its own, with a part of the machine.
_WORKERS = ("numprocesses", "tx", "dist", "maxprocesses")
#: Settings of how a session begins and ends, not of what it is; buckets are made when a spare is claimed.
_NOT_OF_SPARE = ("retention", "buckets", "warm", "wait", "spare_idle", "emr")

_VARIABLE = re.compile(rb"\$\{env[:.](\w+)")


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
    conf = dict(sorted(_contents(user_conf_directory(environ, installation.home))))
    # Log4j's settings, say, may have ${env:LEVEL} in them.
    named = {name.decode() for content in conf.values() for name in _VARIABLE.findall(content)}
    parts = {
        "settings": {name: value for name, value in asdict(settings).items() if name not in _NOT_OF_SPARE},
        "user": [os.geteuid(), os.getegid(), sorted(os.getgroups())],
        "root": str(config.rootpath),
        "cwd": [str(Path.cwd()), _identity(Path.cwd())],
        "process": [_umask(), _limits(), _processors(), *_namespaces()],
        "workers": [repr(option(config, name)) for name in _WORKERS],
        "python": [sys.executable, sys.version, sys.prefix],
        "installed": [_stamp(Path(directory)) for directory in sys.path if directory.endswith("-packages")],
        "plugin": [version("pytest-isolated-emr"), *sorted(_stamps_below(Path(__file__).parent))],
        "spark": [
            str(installation.home),
            installation.version,
            *sorted(_stamps_below(installation.jars_dir)),
        ],
        "java": [str(java.executable), java.version, _stamp(java.executable)],
        "java conf": [sorted(_stamps_below(java.home / part)) for part in ("conf", "lib/security")],
        "local time": [_stamp(Path("/etc/localtime").resolve()), _stamp(Path("/etc/timezone"))],
        "environ": {
            name: value for name, value in sorted(environ.items()) if is_of_jvm(name) or name in named
        },
        "spark conf": {name: hashlib.sha256(content).hexdigest() for name, content in conf.items()},
    }
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]


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


def _contents(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the user's own configuration, by what is in them: it may be there by a link."""
    for path in directory.glob("*"):
        # What cannot be read, Spark does not read either.
        if path.is_file() and os.access(path, os.R_OK):
            yield path.name, path.read_bytes()


def _identity(directory: Path) -> list[int]:
    """Return what tells a directory from a later one of the same name, in which a process of before is not."""
    status = directory.stat()
    return [status.st_dev, status.st_ino]


def _umask() -> int:
    # There is no other way to read it.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _limits() -> list[tuple[int, int]]:
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    return [resource.getrlimit(getattr(resource, name)) for name in names]


def _processors() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _namespaces() -> Iterator[str]:
    """Yield what differs between containers: they may share the state directory, and no port."""
    yield boot_id()
    for name in ("net", "mnt", "pid", "ipc", "uts"):
        # Only Linux has them.
        with suppress(OSError):
            yield str(Path(f"/proc/self/ns/{name}").readlink())
