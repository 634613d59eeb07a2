"""An archive of Spark's classes as the JVM has them in memory, by which a JVM starts in half the time.

Made by a JVM at its exit, for one Java and one class path
(https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html). The JVM that uses it checks that it fits, jar by
jar, and goes on without it if it does not.

What only its making needs is imported there: each run asks whether there is one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_isolated_emr.errors import SparkNotStarted
from pytest_isolated_emr.lifecycle.private_files import make_private
from pytest_isolated_emr.spark import archive_file, preload
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.jar_cache import JarSet, locked, staging_directory
from pytest_isolated_emr.spark.java import Java


class ClassData:
    """The archive for one Java, one Spark and one set of jars.

    :param cache: the directory that holds archives.
    :param installation: the Spark.
    :param java: the Java.
    :param jar_set: the jars on the class path before Spark's.
    """

    def __init__(self, cache: Path, installation: SparkInstallation, java: Java, jar_set: JarSet) -> None:
        self._installation = installation
        self._java = java
        self._class_path = str(jar_set.directory / "*")
        self.path = cache / archive_file.name_of(
            (java.executable, installation.home, self._class_path),
            # The same version may be installed anew.
            (java.version, installation.version, installation.jars_dir.stat().st_mtime_ns),
        )

    def options(self, settings: dict[str, str]) -> list[str]:
        """Return the Java options by which a JVM has its classes sooner: those of the archive or, if there is none yet,
        those by which it loads them ahead. None of them fits a JVM with another class path.

        :param settings: all settings of the JVM.
        """
        if settings.get("spark.driver.extraClassPath") != self._class_path:
            return []
        if self.path.is_file():
            return [f"-XX:SharedArchiveFile={self.path}"]
        return preload.options(self._installation, settings)

    def make(self, progress: Callable[[str], None]) -> None:
        """Make the archive, if there is none: a JVM does what suites do first, and writes it when it ends.

        :param progress: told what is being waited for.
        :raises SparkNotStarted: it could not be made.
        """
        cache, name = self.path.parent, self.path.name
        make_private(cache)
        with locked(self._lock, progress):
            if self.path.exists():
                return
            progress("archiving Spark's classes, once for this Java and Spark: about a minute")
            with staging_directory(cache, name) as work:
                made = work / "made.jsa"
                self._train(work, made)
                archive_file.publish(made, self.path)

    def make_in_background(self, environ: Mapping[str, str]) -> bool:
        """Have it made after this process has ended, if there is none; tell whether it will be.

        :param environ: the user's own environment, in which Java and Spark are found.
        :raises OSError: the process that makes it cannot be started.
        """
        if self.path.exists():
            return False
        return archive_file.make_in_background([], self.path, self._lock, environ)

    @property
    def _lock(self) -> Path:
        return self.path.with_suffix(".lock")

    def _train(self, work: Path, made: Path) -> None:
        from pytest_isolated_emr.spark import training_run

        log = work / "log"
        try:
            with log.open("wb") as output:
                training_run.run(
                    self._installation,
                    self._java,
                    self._class_path,
                    java_options=[f"-XX:ArchiveClassesAtExit={made}"],
                    work=work,
                    output=output,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failed(str(error), log) from error
        if not made.is_file():
            raise self._failed("the JVM wrote no archive", log)

    def _failed(self, how: str, log: Path) -> SparkNotStarted:
        text = log.read_text(errors="replace").strip()[-4000:]
        return SparkNotStarted(
            f"Spark's classes could not be archived: {how}.",
            checked=f"the JVM that was to do it; its log ends with:\n{text}",
            cure="Tests run without it, only later. Mend what the log names (`isolated-emr doctor`), and fetch again.",
        )
