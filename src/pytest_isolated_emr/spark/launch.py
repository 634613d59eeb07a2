"""The command line that starts Spark's JVM, as Spark's own launcher words it.

``bin/spark-submit`` asks the launcher too, but by way of two shell scripts and with all of Spark's jars on its class
path: half a second, where the launcher alone takes a tenth.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.spark import preload
from pytest_isolated_emr.spark.java import find_java
from pytest_isolated_emr.spark.redirect import SUBMIT_AHEAD_CLASS

_MAIN_CLASS = "org.apache.spark.deploy.SparkSubmit"


def launcher_command(
    spark_home: Path, environ: Mapping[str, str], arguments: Sequence[str] = ("pyspark-shell",)
) -> list[str]:
    """Return the command that prints the command of a JVM; :func:`jvm_command` reads it.

    :param spark_home: the directory of the Spark to run.
    :param environ: the JVM's environment; ``SPARK_CONF_DIR`` in it has the settings.
    :param arguments: as ``spark-submit`` takes them; by default for a JVM that PySpark attaches to.
    :raises JavaNotFound: there is no Java.
    """
    return [
        str(find_java(environ).executable),
        # It lives for a moment: what would make it faster later only costs.
        *("-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"),
        *("-cp", str(_launcher_jar(spark_home))),
        *("org.apache.spark.launcher.Main", _MAIN_CLASS, *arguments),
    ]


def script_variables(spark_home: Path) -> dict[str, str]:
    """Return what ``bin/spark-submit`` and ``bin/load-spark-env.sh`` set for the launcher, the JVM and its workers.

    :param spark_home: the directory of the Spark to run.
    """
    scala = re.search(r"_(\d+\.\d+)-", _launcher_jar(spark_home).name)
    return {
        "SPARK_HOME": str(spark_home),
        # Python workers have to agree on the hash of a string.
        "PYTHONHASHSEED": "0",
        "SPARK_ENV_LOADED": "1",
        **({"SPARK_SCALA_VERSION": scala[1]} if scala else {}),
    }


def jvm_command(printed: bytes, conf_directory: Path, options: Sequence[str] = ()) -> list[str]:
    """Return the command that the launcher printed, without the directory of settings on the class path, and loading
    classes ahead if its options say so.

    Spark finds its settings there by ``SPARK_CONF_DIR``; a directory on the class path, whose content may change, rules
    out an archive of classes (https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html).

    :param printed: its output: after an empty line, each argument ends with a null character.
    :param conf_directory: what ``SPARK_CONF_DIR`` was for the launcher.
    :param options: more options for Java, over which the launcher's, and so the user's, win.
    """
    command = [argument.decode() for argument in printed.partition(b"\0\n")[2].split(b"\0")[:-1]]
    class_path = command.index("-cp") + 1
    kept = [entry for entry in command[class_path].split(os.pathsep) if Path(entry) != conf_directory]
    command[class_path] = os.pathsep.join(kept)
    return preload.preloaded([command[0], *options, *command[1:]], _MAIN_CLASS)


def command_ahead(command: Sequence[str], ready: str) -> list[str]:
    """Return the command of a JVM that does what ``spark-submit`` does, once it is told on its standard input with what
    arguments, each with a null character after it.

    :param command: as :func:`jvm_command` returned it, with the redirect's jar on the class path.
    :param ready: the file to which it writes a line when it has done a first job and waits.
    """
    options = [
        argument for argument in command[: command.index(_MAIN_CLASS)] if argument != preload.MAIN_CLASS
    ]
    return [*options, SUBMIT_AHEAD_CLASS, ready]


def read_connection_file(path: Path) -> tuple[int, str]:
    """Return the port and the secret that Spark's ``PythonGatewayServer`` wrote: two big-endian, counted values.

    :param path: the file that ``_PYSPARK_DRIVER_CONN_INFO_PATH`` named for the JVM.
    """
    content = path.read_bytes()
    port, length = struct.unpack_from(">ii", content)
    return port, content[8 : 8 + length].decode()


def _launcher_jar(spark_home: Path) -> Path:
    return next((spark_home / "jars").glob("spark-launcher_*.jar"))
