"""The jars of a Spark Connect server in a session: Spark's own where Spark lacks it, and the gate before it.

The gate (``java/ConnectGate.java``) checks the token of every call. Spark 3.5 has no such check of its own, and that of
Spark 4 knows one token that never expires, where EMR hands out many that expire after an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_isolated_emr.errors import JarsUnavailable
from pytest_isolated_emr.spark import jars
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.janino import CompilationFailed, compile_jar, digest_of
from pytest_isolated_emr.spark.jar_cache import JarSet, cached
from pytest_isolated_emr.spark.java import Java

#: The variable that tells the gate in which directory the session's key is, and where to write what it sees.
DIRECTORY_VARIABLE = "ISOLATED_EMR_SESSION_DIRECTORY"

#: What a server's Spark is started with, beside the jars.
SETTINGS = {
    # Spark 3.5 does not know this one and listens on all addresses; the gate lets loopback's callers in alone.
    "spark.connect.grpc.binding.address": "127.0.0.1",
    # The kernel picks it, and the gate writes it down.
    "spark.connect.grpc.binding.port": "0",
    "spark.connect.grpc.interceptor.classes": "isolatedemr.ConnectGate",
}

_SOURCES = sorted((Path(__file__).parent / "java").glob("*.java"))
_JAR_NAME = "isolated-emr-connect.jar"


def connect_jars(
    installation: SparkInstallation,
    java: Java,
    cache: Path,
    *,
    repositories: Sequence[str] = (),
    progress: Callable[[str], None],
) -> list[Path]:
    """Return the jars that the installed Spark needs for a Connect server of a session.

    :param installation: the Spark.
    :param java: what to run Ivy and Janino with.
    :param cache: the directory that holds sets of jars.
    :param repositories: roots of Maven repositories to use in the place of Maven Central.
    :param progress: told what is being waited for.
    :raises JarsUnavailable: they are not in the cache, and cannot be fetched or made.
    """
    server: tuple[Path, ...] = ()
    if not any(installation.jars_dir.glob("spark-connect_*.jar")):
        server = _server_jars(installation, java, cache, repositories, progress).jars

    def fill(_work: Path, target: Path) -> None:
        progress("compiling the gate of Spark Connect")
        try:
            compile_jar(_SOURCES, installation, java, server, target / _JAR_NAME)
        except CompilationFailed as failed:
            raise JarsUnavailable(
                "The classes that guard Spark Connect could not be compiled.",
                checked=f"Janino of {installation.jars_dir}: {failed}",
                cure="reinstall pyspark if its jars are damaged; otherwise please report it with these lines",
            ) from None

    gate = cached(cache, f"connect-{installation.version}-{digest_of(_SOURCES)[:16]}", fill, progress)
    return [*server, *gate.jars]


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
