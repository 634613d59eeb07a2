"""Keeps the AWS clients inside Spark's JVM in the session, whatever endpoint the code under test gives them.

Settings do not suffice: ``fs.s3a.endpoint`` can be set at run time, per bucket, or as an option of a reader.
Both AWS SDKs let a class on the class path see every request of every client just before it is signed; the
Java sources here are such classes. They are compiled where they are used, by the Janino that Spark ships:
that needs no JDK, and the classes always fit the SDK beside them.

They act in a JVM that was started with ``ISOLATED_EMR_REDIRECT=1``, and read ``AWS_ENDPOINT_URL`` and
``AWS_ACCESS_KEY_ID`` there. Requests carry the latter in the header :data:`KEY_HEADER` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_isolated_emr.errors import JarsUnavailable
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.janino import CompilationFailed, compile_jar, digest_of
from pytest_isolated_emr.spark.java import Java

#: The header with the session's key, by which the endpoint accepts a request with hard-coded credentials.
KEY_HEADER = "x-isolated-emr-key"

#: The variable that switches the redirect on, with "1".
SWITCH = "ISOLATED_EMR_REDIRECT"

#: The name of the jar in the directory of the S3 jars.
JAR_NAME = "isolated-emr-redirect.jar"

_SOURCES = Path(__file__).parent / "java"

#: The class through which Hadoop's ``FileContext`` (streaming checkpoints, YARN) sees ``s3://``: that of
#: Hadoop takes no scheme but ``s3a``.
FILE_CONTEXT_CLASS = "isolatedemr.S3FileContext"

#: The class of the local file system below the hdfs:// of an EMR cluster.
LOCAL_FILES_CLASS = "isolatedemr.LocalFiles"

#: The class that tells :mod:`pytest_isolated_emr.spark.isolation` what sessions share.
SHARED_SPARK_CLASS = "isolatedemr.SharedSpark"

#: The class that keeps for it the settings of the context.
CONTEXT_SETTINGS_CLASS = "isolatedemr.ContextSettings"

#: The main class of a JVM that is started before there is a step for it.
SUBMIT_AHEAD_CLASS = "isolatedemr.SubmitAhead"

#: By the SDK's major version: the class, and the file by which the SDK finds it.
_BY_SDK = {
    1: ("RedirectHandler", "com/amazonaws/global/handlers/request.handler2s"),
    2: ("RedirectInterceptor", "software/amazon/awssdk/global/handlers/execution.interceptors"),
}


def sources_digest() -> str:
    """Return a digest that changes with the Java sources, so that a cache knows that the jar has to."""
    return digest_of(sorted(_SOURCES.glob("*.java")))


def build_redirect(
    sdk: int, installation: SparkInstallation, java: Java, sdk_jars: Sequence[Path], target: Path
) -> None:
    """Compile the redirect for one of the SDKs and write its jar.

    :param sdk: the SDK's major version, 1 or 2.
    :param installation: the Spark whose Janino compiles it.
    :param java: what to run Janino with.
    :param sdk_jars: the jars of the SDK.
    :param target: the jar to write.
    :raises JarsUnavailable: it did not compile.
    """
    name, service_file = _BY_SDK[sdk]
    sources = [
        _SOURCES / f"{source}.java"
        for source in (
            name,
            "LocalFiles",
            "S3FileContext",
            "SharedSpark",
            "ContextSettings",
            "PreloadedMain",
            "StartedAhead",
            "SubmitAhead",
        )
    ]
    try:
        compile_jar(
            sources, installation, java, sdk_jars, target, files={service_file: f"isolatedemr.{name}\n"}
        )
    except CompilationFailed as failed:
        raise JarsUnavailable(
            "The classes that keep AWS clients in the session could not be compiled.",
            checked=f"Janino of {installation.jars_dir}: {failed}",
            cure="reinstall pyspark if its jars are damaged; otherwise please report it with these lines",
        ) from None
