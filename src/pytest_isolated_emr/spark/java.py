"""The Java that runs Spark: found without starting it, where its ``release`` file says what it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_isolated_emr.errors import JavaNotFound, JavaTooOld

#: Spark 4 does not start on less. Spark 3.5 would do with 8, but EMR 7 runs it on 17, and one rule is easier
#: to keep.
NEEDED_MAJOR = 17

_VERSION_SECONDS = 30


@dataclass(frozen=True)
class Java:
    """A Java runtime.

    :param executable: the ``java`` program, links followed.
    :param major: 8, 11, 17, …
    :param version: the whole version, as the runtime writes it.
    """

    executable: Path
    major: int
    version: str

    @property
    def home(self) -> Path:
        """What ``JAVA_HOME`` has to be for this Java."""
        return self.executable.parent.parent


def find_java(environ: Mapping[str, str] | None = None) -> Java:
    """Return the Java that Spark's own launcher would take: that of ``JAVA_HOME``, else the one on ``PATH``.

    A ``JAVA_HOME`` without a Java is an error: Spark's launcher does not pass it over either.

    :param environ: the environment to look in, ``os.environ`` by default.
    :raises JavaNotFound: there is none, or it does not run.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("JAVA_HOME")
    if home:
        found = shutil.which(str(Path(home) / "bin" / "java"))
        if found is None:
            raise JavaNotFound(
                "JAVA_HOME is set, but there is no Java in it.",
                checked=f"{Path(home) / 'bin' / 'java'} is not an executable file",
                cure=_cure(),
            )
    else:
        found = shutil.which("java", path=environ.get("PATH", os.defpath))
        if found is None:
            raise JavaNotFound(
                "No Java to run Spark with.",
                checked="JAVA_HOME is not set, and no directory of PATH has a java",
                cure=_cure(),
            )
    executable = Path(found).resolve()
    version = _released_version(executable) or _stated_version(executable)
    return Java(executable, _major(version), version)


def require_java(spark_version: str, environ: Mapping[str, str] | None = None) -> Java:
    """Return the Java to run this Spark with.

    :param spark_version: the version of Spark that it is for.
    :param environ: the environment to look in, ``os.environ`` by default.
    :raises JavaNotFound: there is none.
    :raises JavaTooOld: there is one, but it is too old.
    """
    java = find_java(environ)
    if java.major < NEEDED_MAJOR:
        raise JavaTooOld(
            f"Spark {spark_version} is run with Java {NEEDED_MAJOR} or newer; this is Java {java.version}.",
            checked=str(java.executable),
            cure=_cure(),
        )
    return java


def _cure() -> str:
    package = f"openjdk-{NEEDED_MAJOR}-jre-headless"
    return (
        f"Install it, `apt-get install {package}` (macOS: `brew install openjdk@{NEEDED_MAJOR}`), "
        "or set JAVA_HOME to where it is."
    )


def _released_version(executable: Path) -> str | None:
    """Read the version from the file that a Java has beside ``bin``: starting it would cost 0.1 s."""
    try:
        text = (executable.parent.parent / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r'^JAVA_VERSION="([^"]+)"', text, re.MULTILINE)
    return found[1] if found else None


def _stated_version(executable: Path) -> str:
    """Ask the Java itself, which is also what tells a stand-in (macOS has one) from a Java."""
    try:
        done = subprocess.run(
            [str(executable), "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_VERSION_SECONDS,
            check=False,
        )
        said = done.stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    found = re.search(r'version "([^"]+)"', said)
    if found is None:
        last = said.strip().splitlines()[-1:] or ["nothing"]
        raise JavaNotFound(
            "There is a java program, but it does not say what version it is.",
            checked=f"`{executable} -version` said: {last[0]}",
            cure=_cure(),
        )
    return found[1]


def _major(version: str) -> int:
    """``1.8.0_392`` is 8, ``17.0.15`` and ``21-ea`` are what they begin with."""
    found = re.match(r"(?:1\.)?(\d+)", version)
    return int(found[1]) if found else 0
