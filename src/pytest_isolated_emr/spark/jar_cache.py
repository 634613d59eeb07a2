"""Sets of jars on disk: made once for all sessions of this machine, checked at every use.

A set is a directory with a manifest. It is put together in a staging directory and renamed into place, so
that a directory with a set's name has once been whole; one process does that, under a lock, while others
wait. What was damaged since (somebody's ``rm``, a disk that was full) is noticed by names and sizes, and made
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_isolated_emr.errors import StateRootUnusable
from pytest_isolated_emr.lifecycle.private_files import make_private, read_private

_MANIFEST = "manifest.json"
# Spark's own jars are some hundreds.
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class JarSet:
    """Jars in the cache.

    :param directory: the directory that they, and nothing but they and their manifest, are in.
    :param jars: the jars, in the order of a class path.
    """

    directory: Path
    jars: tuple[Path, ...]


def verify(jar_set: JarSet, full: bool = False) -> list[str]:
    """Return what is wrong with a set of jars, one sentence each; nothing if it is whole.

    :param jar_set: the set.
    :param full: compare digests, not only names and sizes.
    """
    return _problems(jar_set.directory, full=full)


def cached_sets(cache: Path) -> list[JarSet]:
    """Return all sets in the cache, whole or damaged, for ``doctor`` to verify.

    :param cache: the directory that holds sets of jars.
    """
    return [_load(manifest.parent) for manifest in sorted(cache.glob(f"[!.]*/{_MANIFEST}"))]


def find(cache: Path, name: str) -> JarSet | None:
    """Return the set of a name if it is there and whole.

    :param cache: the directory that holds sets of jars.
    :param name: the set's name.
    """
    directory = cache / name
    return None if _problems(directory, full=False) else _load(directory)


def cached(
    cache: Path, name: str, fill: Callable[[Path, Path], None], progress: Callable[[str], None]
) -> JarSet:
    """Return the set of a name, made first if it is not there, or damaged.

    :param cache: the directory that holds sets of jars.
    :param name: the set's name, different for all that may differ in its jars.
    :param fill: makes the set: it gets a directory to work in, and the directory to put the jars into.
    :param progress: told if another process is waited for.
    :raises StateRootUnusable: the cache cannot be written.
    """
    # The usual case, without a lock: a cache that is baked into an image may be read-only.
    found = find(cache, name)
    if found:
        return found
    directory = cache / name
    try:
        make_private(cache)
        with locked(cache / f"{name}.lock", progress):
            if _problems(directory, full=False):
                with staging_directory(cache, name) as staging:
                    jars = staging / "jars"
                    jars.mkdir()
                    fill(staging, jars)
                    _write_manifest(jars)
                    if directory.exists():
                        # A JVM that has its jars open keeps them, and could not have used the missing ones.
                        directory.rename(staging / "damaged")
                    jars.rename(directory)
            return _load(directory)
    except OSError as error:
        raise StateRootUnusable(
            f"The cache of jars cannot be used: {error.strerror or error}.",
            checked=f"{error.filename or cache}",
            cure="Make it writable, see that there is space, or set ISOLATED_EMR_HOME to another directory.",
        ) from error


@contextlib.contextmanager
def locked(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock. There is no time-out: whoever holds it is bounded, and a dead holder's lock is free.

    :param path: the lock's file.
    :param progress: told if another process is waited for.
    """
    # Most runs find what they look for.
    import filelock

    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        progress("waiting for another process that is making the same")
        lock.acquire(poll_interval=0.1)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def staging_directory(cache: Path, name: str) -> Iterator[Path]:
    """Make a directory beside the sets, and remove it, with those that killed processes left of this set.

    Its name is a new one each time, since the Ivy of a killed process may still be writing into the old one.

    :param cache: the directory that holds the sets.
    :param name: what is made there.
    """
    prefix = f".staging-{name}-"
    for left in cache.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_manifest(directory: Path) -> None:
    jars = [
        {"name": jar.name, "size": jar.stat().st_size, "sha256": _sha256(jar)}
        for jar in sorted(directory.glob("*.jar"))
    ]
    (directory / _MANIFEST).write_text(json.dumps({"jars": jars}, indent=1) + "\n", encoding="utf-8")


def _read_manifest(directory: Path) -> list[dict[str, Any]]:
    jars: list[dict[str, Any]] = json.loads(read_private(directory / _MANIFEST, _MOST_BYTES))["jars"]
    return jars


def _load(directory: Path) -> JarSet:
    try:
        names = [str(jar["name"]) for jar in _read_manifest(directory)]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    return JarSet(directory, tuple(directory / name for name in names))


def _problems(directory: Path, *, full: bool) -> list[str]:
    if directory.is_symlink():
        return [f"{directory} is a link"]
    try:
        jars = [(str(jar["name"]), jar["size"], jar["sha256"]) for jar in _read_manifest(directory)]
    except OSError:
        return [f"{directory} has no manifest"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return [f"{directory / _MANIFEST} is damaged"]
    # The whole directory is on a JVM's class path.
    others = {path.name for path in directory.glob("*.jar")} - {name for name, *_ in jars}
    problems = [f"{directory / name} is not in the manifest" for name in sorted(others)]
    return problems + [problem for jar in jars if (problem := _problem(directory, *jar, full=full))]


def _problem(directory: Path, name: str, size: int, sha256: str, *, full: bool) -> str:
    if Path(name).name != name:
        return f"{directory / _MANIFEST} names {name!r}, which is no file beside it"
    path = directory / name
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return f"{path} is missing"
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is no file"
    if found.st_size != size:
        return f"{path} has {found.st_size} bytes instead of {size}"
    if full and _sha256(path) != sha256:
        return f"{path} has another content than it was fetched with"
    return ""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
