"""Compiles our Java classes where they are used, with the Janino that Spark ships: that needs no JDK."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.java import Java

_BUILD = Path(__file__).parent / "redirect" / "java" / "Build.java"
_COMPILE_SECONDS = 60


class CompilationFailed(Exception):
    """Janino could not compile the sources; the text is why."""


def digest_of(sources: Sequence[Path]) -> str:
    """Return a digest that changes with Java sources, so that a cache knows that the jar has to.

    :param sources: the files.
    """
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def compile_jar(
    sources: Sequence[Path],
    installation: SparkInstallation,
    java: Java,
    jars: Sequence[Path],
    target: Path,
    files: Mapping[str, str] | None = None,
) -> None:
    """Compile sources into a jar.

    :param sources: the files.
    :param installation: the Spark whose Janino compiles them, and against whose jars.
    :param java: what to run Janino with.
    :param jars: more jars to compile against.
    :param target: the jar to write.
    :param files: text files to put beside the classes, by their names in the jar.
    :raises CompilationFailed: it did not compile.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        # They are compiled by a program that is itself compiled and run from its source.
        class_path = [str(installation.jars_dir / "*"), *map(str, jars)]
        command = [
            str(java.executable),
            "-cp",
            os.pathsep.join(class_path),
            "org.codehaus.janino.SimpleCompiler",
            str(_BUILD),
            "Build",
            scratch,
            *map(str, sources),
        ]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_COMPILE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CompilationFailed(f"it did not end in {_COMPILE_SECONDS} s") from None
        classes = sorted(Path(scratch).rglob("*.class"))
        if done.returncode != 0 or not classes:
            raise CompilationFailed(_reason(done.stdout))
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as jar:
            # Fixed dates make the same jar of the same sources.
            for path in classes:
                jar.writestr(zipfile.ZipInfo(path.relative_to(scratch).as_posix()), path.read_bytes())
            for name, text in (files or {}).items():
                jar.writestr(zipfile.ZipInfo(name), text)


def _reason(said: str) -> str:
    """Pick from a stack trace the line that says why."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
    causes = [line for line in lines if line.startswith("Caused by")]
    return (causes or lines)[-1]
