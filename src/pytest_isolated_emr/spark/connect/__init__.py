"""The jars and settings of a Spark Connect server: Spark's own jars where Spark lacks them, and what we add to it.

The gate (``java/ConnectGate.java``) checks the token of every call. Spark 3.5 has no such check of its own, and that of
Spark 4 knows one token that never expires, where EMR hands out many that expire after an hour. The commands for
isolation (``java/IsolationCommands.java``) are for tests whose Spark is such a server
(:mod:`pytest_isolated_emr.spark.connect.isolation`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.errors import JarsUnavailable
from pytest_isolated_emr.spark import jars, redirect
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.janino import CompilationFailed, compile_jar, digest_of
from pytest_isolated_emr.spark.jar_cache import JarSet, cached
from pytest_isolated_emr.spark.java import Java

#: The variable that tells the gate in which directory the session's key is, and where to write what it sees.
DIRECTORY_VARIABLE = "ISOLATED_EMR_SESSION_DIRECTORY"

#: The variable by which the gate lets callers of other machines in, with "any": those that have a token.
PEERS_VARIABLE = "ISOLATED_EMR_CONNECT_PEERS"

#: The variable that names, for Python workers, the file with the directories in which the client looks for modules.
PYTHON_PATH_VARIABLE = "ISOLATED_EMR_PYTHON_PATH_FILE"
#: The name of that file in the server's directory.
PYTHON_PATH_NAME = "python_path"

_GATE = {"spark.connect.grpc.interceptor.classes": "isolatedemr.ConnectGate"}

#: What the Spark of a server for an EMR session is started with, beside the jars.
SETTINGS = {
    # Spark 3.5 does not know this one and listens on all addresses; the gate lets loopback's callers in alone.
    "spark.connect.grpc.binding.address": "127.0.0.1",
    # The kernel picks it, and the gate writes it down.
    "spark.connect.grpc.binding.port": "0",
    **_GATE,
}

#: The port that a server in a container listens on.
CONTAINER_PORT = 15002

#: The setting that names the classes of a server's commands beside Spark's own.
COMMANDS_SETTING = "spark.connect.extensions.command.classes"

#: What the Spark of a tests' server in a container is started with, beside the jars. The container needs
#: :data:`PEERS_VARIABLE`, as its callers come from its network's gateway.
CONTAINER_SETTINGS = {
    "spark.connect.grpc.binding.address": "0.0.0.0",
    "spark.connect.grpc.binding.port": str(CONTAINER_PORT),
    COMMANDS_SETTING: "isolatedemr.IsolationPlugin",
    **_GATE,
}

#: The same where the user chose nothing else: as loud as the JVM that PySpark itself starts.
CONTAINER_DEFAULTS = {"spark.log.level": "WARN"}

_JAVA = Path(__file__).parent / "java"
_CLASS_PATH = "spark.driver.extraClassPath"
_JAR_NAME = "isolated-emr-connect.jar"


def connect_jars(
    installation: SparkInstallation,
    java: Java,
    cache: Path,
    *,
    repositories: Sequence[str] = (),
    progress: Callable[[str], None],
) -> list[Path]:
    """Return the jars that the installed Spark needs for a Connect server.

    :param installation: the Spark.
    :param java: what to run Ivy and Janino with.
    :param cache: the directory that holds sets of jars.
    :param repositories: roots of Maven repositories to use in the place of Maven Central.
    :param progress: told what is being waited for.
    :raises JarsUnavailable: they are not in the cache, and cannot be fetched or made.
    """
    sources = _sources(installation)
    server: tuple[Path, ...] = ()
    if not any(installation.jars_dir.glob("spark-connect_*.jar")):
        server = _server_jars(installation, java, cache, repositories, progress).jars

    def fill(_work: Path, target: Path) -> None:
        progress("compiling what is added to Spark Connect")
        try:
            compile_jar(sources, installation, java, server, target / _JAR_NAME)
        except CompilationFailed as failed:
            raise JarsUnavailable(
                "Our classes for Spark Connect could not be compiled.",
                checked=f"Janino of {installation.jars_dir}: {failed}",
                cure="reinstall pyspark if its jars are damaged; otherwise please report it with these lines",
            ) from None

    ours = cached(cache, f"connect-{installation.version}-{digest_of(sources)[:16]}", fill, progress)
    return [*server, *ours.jars]


def _sources(installation: SparkInstallation) -> list[Path]:
    """Return the sources to compile, of which some are for one major version of Spark only."""
    # Also in the jar beside the S3 jars, which not every server has.
    shared = _JAVA.parent.parent / "redirect" / "java"
    return [
        *sorted(_JAVA.glob("*.java")),
        *sorted((_JAVA / f"spark{installation.major}").glob("*.java")),
        shared / "ContextSettings.java",
        shared / "StartedAhead.java",
    ]


def _server_jars(
    installation: SparkInstallation,
    java: Java,
    cache: Path,
    repositories: Sequence[str],
    progress: Callable[[str], None],
) -> JarSet:
    core = next(installation.jars_dir.glob("spark-core_*.jar"))
    scala = core.name.removeprefix("spark-core_").partition("-")[0]
    # The newest of its series: a release comes to Maven a little later than to PyPI.
    series = ".".join(installation.version.split(".")[:2])
    return jars.packages(
        [f"org.apache.spark:spark-connect_{scala}:[{series}.0,{installation.version}]"],
        installation,
        java,
        cache,
        repositories=repositories,
        progress=progress,
    )


def without_s3_jars(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings for a Spark that has an S3A of its own: of the jars for it, our redirect alone.

    :param settings: all settings of a server.
    """
    paths = settings.get(_CLASS_PATH, "").split(os.pathsep)
    ours = [str(jar) for path in paths for jar in [Path(path).parent / redirect.JAR_NAME] if jar.is_file()]
    theirs = [path for path in paths if not (Path(path).parent / redirect.JAR_NAME).is_file()]
    return {**settings, _CLASS_PATH: os.pathsep.join([*ours, *theirs])}
