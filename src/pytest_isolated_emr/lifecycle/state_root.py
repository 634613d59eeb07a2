"""The one directory that holds all long-lived state: sessions and jars."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from pytest_isolated_emr.errors import NoSpace, StateRootUnusable
from pytest_isolated_emr.lifecycle.private_files import make_private

#: The environment variable that moves the state root.
HOME_VARIABLE = "ISOLATED_EMR_HOME"

#: The environment variable by which state roots share what is made once for all sessions.
CACHE_VARIABLE = "ISOLATED_EMR_CACHE"

#: Less free space than this, and a session would fail in the middle of a test instead of at its start.
MINIMUM_FREE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class StateRoot:
    """The root of long-lived state.

    :param path: an absolute path, which need not exist before :meth:`open`.
    :param cache: the directory of what is made once for all sessions, by default the root itself. An archive of classes fits
        jars at one place only, so roots that are to share it share their jars.
    """

    path: Path
    cache: Path | None = None

    @classmethod
    def from_environment(cls) -> StateRoot:
        """Return the user's state root, which ``ISOLATED_EMR_HOME`` may move, with the cache that ``ISOLATED_EMR_CACHE``
        names. Neither need exist.

        :raises StateRootUnusable: if a variable's value is not an absolute path, or what is there may be another's.
        """
        path = _named_by(HOME_VARIABLE)
        if path is None:
            path = Path(platformdirs.user_state_path("isolated-emr", appauthor=False))
        root = cls(path, _named_by(CACHE_VARIABLE))
        root.check()
        return root

    @property
    def sessions(self) -> Path:
        """The directory that has one directory per session."""
        return self.path / "sessions"

    @property
    def jars(self) -> Path:
        """The cache of jars."""
        return self._made_once / "jars"

    @property
    def class_data(self) -> Path:
        """The cache of archives of classes."""
        return self._made_once / "class-data"

    @property
    def spares(self) -> Path:
        """The directory of the places where spares are found."""
        return self.path / "spares"

    @property
    def admission(self) -> Path:
        """The directory of the tickets of sessions that run, or wait for their turn."""
        return self.path / "admission"

    @property
    def container_class_data(self) -> Path:
        """Archives of Spark's classes for containers, which see this directory."""
        return self.class_data / "containers"

    @property
    def container_java(self) -> Path:
        """The directory of the program that stands for a Java in containers."""
        return self._made_once / "container-java"

    @property
    def _made_once(self) -> Path:
        return self.path if self.cache is None else self.cache

    def _variable_of(self, directory: Path) -> str:
        """Return the variable that puts a directory elsewhere."""
        of_the_cache = (self.cache, self.jars, self.class_data, self.container_java)
        return CACHE_VARIABLE if self.cache is not None and directory in of_the_cache else HOME_VARIABLE

    def check(self) -> None:
        """See that nobody else made or filled what there is of the root: all of it is believed, and much is run.

        Directories above it are not judged: the builds of a CI service are often in one that everybody may write.

        :raises StateRootUnusable: if it is somebody else's, a link, not a directory or may hold what others put there.
        """
        for directory in (
            self.path,
            self._made_once,
            self.sessions,
            self.jars,
            self.admission,
            self.class_data,
            self.container_java,
        ):
            _check(directory, self._variable_of(directory))

    def check_spares(self) -> None:
        """The same for the places of spares, without which a run only starts later.

        :raises StateRootUnusable: as :meth:`check` does.
        """
        _check(self.spares, HOME_VARIABLE)

    def open(self) -> None:
        """Create what is missing of the root, and check that it can be used and is nobody else's.

        :raises StateRootUnusable: as :meth:`check` does, or if it cannot be written.
        :raises NoSpace: if too little space is left on its file system.
        """
        self.check()
        for directory in (self.path, self._made_once, self.sessions, self.jars, self.admission):
            variable = self._variable_of(directory)
            _create(directory, variable)
            # It may have come since.
            _check(directory, variable)
            _keep_to_this_user(directory, variable)
        free = shutil.disk_usage(self.path).free
        if free < MINIMUM_FREE_BYTES:
            raise NoSpace(
                f"Only {free // 2**20} MiB are free for {self.path}.",
                checked=f"the free space of its file system; {MINIMUM_FREE_BYTES // 2**20} MiB are needed",
                cure="Free some space (`isolated-emr sweep --delete` removes what dead sessions left), "
                f"or set {HOME_VARIABLE} to a directory on another disk.",
            )


def _named_by(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_absolute():
        # The keeper has another working directory than pytest, so they would not mean the same place.
        raise StateRootUnusable(
            f"{variable} is the relative path {value!r}.",
            checked=f"the environment variable {variable}",
            cure=f"Set {variable} to an absolute path.",
        )
    return path


def _create(directory: Path, variable: str) -> None:
    try:
        make_private(directory)
    except OSError as error:
        raise _unusable(
            f"{directory} cannot be created: {error.strerror}", f"mkdir {directory}", variable
        ) from error


def _check(directory: Path, variable: str) -> None:
    try:
        problem = _problem(directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        problem = f"cannot be looked at: {error.strerror}"
    if problem:
        raise _unusable(f"{directory} {problem}", f"the kind, owner and mode of {directory}", variable)


def _problem(directory: Path) -> str:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "is a link" if stat.S_ISLNK(found.st_mode) else "is not a directory"
    if found.st_uid != os.geteuid():
        return f"belongs to the user {found.st_uid}, not to you ({os.geteuid()})"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and any(directory.iterdir()):
        # Tightened, it would still have what others put there meanwhile: jars, say, that a JVM of ours runs.
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o}) and is not empty"
    return ""


def _keep_to_this_user(directory: Path, variable: str) -> None:
    mode = stat.S_IMODE(directory.lstat().st_mode)
    if mode & 0o077:
        # Ours, so it is ours to tighten: made by hand or by an earlier umask.
        directory.chmod(mode & 0o700)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise _unusable(f"{directory} cannot be written", f"the mode of {directory}", variable)


def _unusable(what: str, checked: str, variable: str) -> StateRootUnusable:
    return StateRootUnusable(
        f"The directory {what}.",
        checked=checked,
        cure=f"Make it a directory of yours that you alone can write, or set {variable} to another one.",
    )
