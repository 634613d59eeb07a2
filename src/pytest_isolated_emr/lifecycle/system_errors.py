"""What the system refuses, in words for users: a disk that is full, a limit of open files, a directory that cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pytest_isolated_emr import errors
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE, StateRoot

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def in_words_here(error: Exception) -> errors.IsolatedEmrError | None:
    """Return the same as :func:`in_words`, where the state directory is what the environment says.

    :param error: what came of something.
    """
    if isinstance(error, errors.IsolatedEmrError):
        return error
    try:
        root = StateRoot.from_environment()
    except errors.StateRootUnusable as unusable:
        return unusable
    return in_words(error, root.path)


def in_words(error: Exception, root: Path) -> errors.IsolatedEmrError | None:
    """Return an error as one of ours, if it is one, or tells what the machine lacks; None if it is about something else.

    :param error: what came of something.
    :param root: the state directory.
    """
    if isinstance(error, errors.IsolatedEmrError):
        return error
    if not isinstance(error, OSError):
        return None
    elsewhere = _elsewhere(error, root)
    what = f"{error.filename or root}: {error.strerror}"
    if error.errno in _NO_SPACE:
        return errors.NoSpace(
            f"No space is left for {elsewhere or root}.",
            checked=what,
            cure="Free some space (`isolated-emr sweep --delete` removes what dead sessions left), "
            f"or set {HOME_VARIABLE} to a directory on another disk.",
        )
    if error.errno in _NO_FILES:
        return errors.TooFewFiles(
            "The session may open no more files.",
            checked=what,
            cure="Raise the limit of open files (`ulimit -n 1024`), and run again.",
        )
    if error.errno in _NO_RIGHT and elsewhere is None:
        return errors.StateRootUnusable(
            f"The directory {root} cannot be written.",
            checked=what,
            cure=f"Make it a directory of yours that can be written, or set {HOME_VARIABLE} to another one.",
        )
    return None


def _elsewhere(error: OSError, root: Path) -> Path | None:
    """Return the file that an error is about, if that is not below the state directory: a conftest's, say."""
    if not isinstance(error.filename, (str, bytes)):
        return None
    path = Path(os.fsdecode(error.filename))
    # Below an open directory of ours, names are relative. A link may lead to the state directory.
    is_below = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    return path if path.is_absolute() and not is_below else None
