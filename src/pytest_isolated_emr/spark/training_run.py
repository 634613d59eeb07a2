"""A training run: a JVM with Spark from its start to its end that does what test runs do first.

For what is learnt from it: an archive of its classes, or their names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from pytest_isolated_emr.spark import launch, properties
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.java import Java

# On two busy cores it takes one minute.
_SECONDS = 600


def run(
    installation: SparkInstallation,
    java: Java,
    class_path: str,
    *,
    java_options: Sequence[str],
    work: Path,
    output: IO[bytes],
) -> None:
    """Run a JVM from its start to its own end, used in between.

    :param installation: the Spark.
    :param java: the Java.
    :param class_path: of the jars before Spark's own.
    :param java_options: more options for the JVM.
    :param work: an empty directory for all its files.
    :param output: takes what it prints.
    :raises OSError: it did not start.
    :raises subprocess.SubprocessError: it failed, or took ten minutes.
    """
    environ = _prepare(installation, java, class_path, java_options, work)
    printed = subprocess.run(
        launch.launcher_command(installation.home, environ),
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
        _use(jvm, work, environ, output)
        assert jvm.stdin is not None
        jvm.stdin.close()
        jvm.wait(_SECONDS)
    finally:
        jvm.kill()
        jvm.wait()


def _prepare(
    installation: SparkInstallation, java: Java, class_path: str, java_options: Sequence[str], work: Path
) -> dict[str, str]:
    """Write the settings of the JVM, and return its environment."""
    for name in ("conf", "tmp", "local"):
        (work / name).mkdir()
    settings = properties.default_properties(work, cores=2, ui=False)
    settings["spark.driver.extraClassPath"] = class_path
    quick = properties.quick_start_options(settings, {})
    properties.write(
        work / "conf" / "spark-defaults.conf", properties.with_java_options(settings, [*quick, *java_options])
    )
    names = ("HOME", "LANG", "PATH", "TZ")
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        **launch.script_variables(installation.home),
        "JAVA_HOME": str(java.home),
        "SPARK_CONF_DIR": str(work / "conf"),
        "SPARK_LOCAL_DIRS": str(work / "local"),
        "TMPDIR": str(work / "tmp"),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "_PYSPARK_DRIVER_CONN_INFO_PATH": str(work / "gateway"),
    }


def _use(jvm: subprocess.Popen[bytes], work: Path, environ: dict[str, str], output: IO[bytes]) -> None:
    connection_file = work / "gateway"
    deadline = time.monotonic() + _SECONDS
    while not connection_file.exists():
        if jvm.poll() is not None or time.monotonic() > deadline:
            raise OSError("the JVM did not start")
        time.sleep(0.05)
    port, secret = launch.read_connection_file(connection_file)
    subprocess.run(
        [sys.executable, "-m", "pytest_isolated_emr.spark.training_job", str(work)],
        env=environ | {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        timeout=_SECONDS,
        check=True,
    )
