"""An archive of Spark's classes as the JVM has them in memory, by which a JVM starts in half the time.

Made by a JVM at its exit, for one Java and one class path
(https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html). The JVM that uses it checks that it fits, jar by
jar, and goes on without it if it does not.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pytest_isolated_emr.errors import SparkNotStarted
from pytest_isolated_emr.spark import launch, properties
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.jar_cache import JarSet, locked, staging_directory
from pytest_isolated_emr.spark.java import Java

# On two busy cores it takes one minute.
_SECONDS = 600


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
        what = (java.executable, java.version, installation.home, installation.version, self._class_path)
        digest = hashlib.sha256("\0".join(map(str, what)).encode()).hexdigest()[:16]
        self.path = cache / f"spark-{installation.version}-{digest}.jsa"

    def options(self, settings: dict[str, str]) -> list[str]:
        """Return the Java options by which a JVM uses the archive; none if there is none, or it would not fit.

        :param settings: all settings of the JVM.
        """
        fits = settings.get("spark.driver.extraClassPath") == self._class_path
        return [f"-XX:SharedArchiveFile={self.path}"] if fits and self.path.is_file() else []

    def make(self, progress: Callable[[str], None]) -> None:
        """Make the archive, if there is none: a JVM does what suites do first, and writes it when it ends.

        :param progress: told what is being waited for.
        :raises SparkNotStarted: it could not be made.
        """
        cache, name = self.path.parent, self.path.name
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.path.with_suffix(".lock"), progress):
            if self.path.exists():
                return
            progress("archiving Spark's classes, once for this Java and Spark: about a minute")
            with staging_directory(cache, name) as work:
                made = work / "made.jsa"
                self._train(work, made)
                made.replace(self.path)

    def _train(self, work: Path, made: Path) -> None:
        log = work / "log"
        try:
            with log.open("wb") as output:
                self._run_jvm(work, self._prepare(work, made), output)
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failed(str(error), log) from error
        if not made.is_file():
            raise self._failed("the JVM wrote no archive", log)

    def _run_jvm(self, work: Path, environ: dict[str, str], output: IO[bytes]) -> None:
        """Run a JVM from its start to its own end, used in between."""
        printed = subprocess.run(
            launch.launcher_command(self._installation.home, environ),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            timeout=_SECONDS,
            check=True,
        )
        jvm = subprocess.Popen(
            launch.jvm_command(printed.stdout, work / "conf"),
            env=environ,
            cwd=work,
            # It ends with whoever holds the other end, however that ends.
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
        try:
            self._use(jvm, work, environ, output)
            assert jvm.stdin is not None
            jvm.stdin.close()
            jvm.wait(_SECONDS)
        finally:
            jvm.kill()
            jvm.wait()

    def _prepare(self, work: Path, made: Path) -> dict[str, str]:
        """Write the settings of the JVM, and return its environment."""
        for name in ("conf", "tmp", "local"):
            (work / name).mkdir()
        settings = properties.default_properties(work, cores=2, ui=False)
        settings["spark.driver.extraClassPath"] = self._class_path
        settings = properties.with_java_options(
            settings, [*properties.quick_start_options(settings, {}), f"-XX:ArchiveClassesAtExit={made}"]
        )
        properties.write(work / "conf" / "spark-defaults.conf", settings)
        names = ("HOME", "LANG", "PATH", "TZ")
        return {
            **{name: os.environ[name] for name in names if name in os.environ},
            **launch.script_variables(self._installation.home),
            "JAVA_HOME": str(self._java.home),
            "SPARK_CONF_DIR": str(work / "conf"),
            "SPARK_LOCAL_DIRS": str(work / "local"),
            "TMPDIR": str(work / "tmp"),
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "_PYSPARK_DRIVER_CONN_INFO_PATH": str(work / "gateway"),
        }

    def _use(
        self, jvm: subprocess.Popen[bytes], work: Path, environ: dict[str, str], output: IO[bytes]
    ) -> None:
        connection_file = work / "gateway"
        deadline = time.monotonic() + _SECONDS
        while not connection_file.exists():
            if jvm.poll() is not None or time.monotonic() > deadline:
                raise OSError("the JVM did not start")
            time.sleep(0.05)
        port, secret = launch.read_connection_file(connection_file)
        subprocess.run(
            [sys.executable, "-m", "pytest_isolated_emr.spark.class_data_training", str(work)],
            env=environ | {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=_SECONDS,
            check=True,
        )

    def _failed(self, how: str, log: Path) -> SparkNotStarted:
        text = log.read_text(errors="replace").strip()[-4000:]
        return SparkNotStarted(
            f"Spark's classes could not be archived: {how}.",
            checked=f"the JVM that was to do it; its log ends with:\n{text}",
            cure="Tests run without it, only later. Mend what the log names (`isolated-emr doctor`), and fetch again.",
        )
