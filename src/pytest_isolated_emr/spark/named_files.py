"""The files that a JVM's settings name: it may have opened them at its start, so it is another JVM once they change."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

# Lists are separated by commas, class paths by colons, options by spaces, an option's name from its value by = or :.
_SEPARATORS = re.compile(r"[,:;=\s]+")
_CLASS_PATHS = re.compile(r".*CLASS_?PATH|.*extraClassPath")


def stamps(settings: Iterable[Mapping[str, str]], directory: Path) -> dict[str, list[int]]:
    """Return what changes whenever one of the files does.

    :param settings: settings and variables of a JVM.
    :param directory: its working directory.
    """
    found = {}
    for path in _named(settings, directory):
        # What is not there, or could not be anywhere, is no file.
        with suppress(OSError, ValueError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found[str(path)] = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]
    return found


def _named(settings: Iterable[Mapping[str, str]], directory: Path) -> Iterator[Path]:
    for name, value in ((name, value) for each in settings for name, value in each.items()):
        # In a URL without a host (file:///a) there are three slashes, in a path one.
        words = (re.sub("^/+", "/", word.partition("#")[0]) for word in _SEPARATORS.split(value))
        for path in (directory / word for word in words if word):
            if path.name == "*":
                yield from path.parent.glob("*.[jJ][aA][rR]")
            else:
                yield path
            if _CLASS_PATHS.fullmatch(name):
                yield from (Path(parent, file) for parent, _, files in os.walk(path) for file in files)
