"""What Spark sees of the environment, in this process and in those that tests start."""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

# What a JVM, and what starts it, reads of its environment before there is a context: Java, the C library, Spark's
# launcher, Hadoop's and Hive's static parts; and by what Python workers' interpreter and its libraries are found.
_OF_JVM = re.compile(
    r"""
    PATH | HOME | USER | LOGNAME | SHELL | TMPDIR | TZ | LANG | LANGUAGE | LC_.* | LD_.* | DYLD_.* | MALLOC_.* | GLIBC_.*
    | TZDIR | HOSTALIASES | LOCALDOMAIN | RES_OPTIONS
    | .*JAVA.* | JDK_.* | JVM_.* | CLASSPATH | LOG4J_.*
    | SPARK_.* | PYSPARK_.* | _PYSPARK_.* | HADOOP_.* | HIVE_.* | YARN_.* | KRB5.* | PYTHON.* | VIRTUAL_ENV | CONDA_PREFIX
    | DOCKER_.* | XDG_RUNTIME_DIR
    """,
    re.VERBOSE,
)
# Spark's own idea of it: https://spark.apache.org/docs/latest/configuration.html, spark.redaction.regex
_SECRET_WORDS = r"secret|password|token|access[._]?key|credential"
_SECRET = re.compile(_SECRET_WORDS, re.IGNORECASE)
# The same inside of a value, as options have it (-Djavax.net.ssl.trustStorePassword=…), and a URL with a user's password.
_SECRET_INSIDE = re.compile(rf"(?:{_SECRET_WORDS})[\w.-]*=|://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)

#: Where a remote Spark is before it is there.
NO_SERVER_YET = "sc://isolated-emr.invalid"

_USER_CONF_DIR = "ISOLATED_EMR_USER_SPARK_CONF_DIR"


def user_conf_directory(environ: Mapping[str, str], spark_home: Path) -> Path:
    """Return where the user's own Spark settings are, also in a process that a session has shown its own.

    :param environ: the environment to look in.
    :param spark_home: the Spark whose directory it is by default.
    """
    directory = environ.get(_USER_CONF_DIR, environ.get("SPARK_CONF_DIR", ""))
    return Path(directory) if directory else spark_home / "conf"


def spark_variables(worker_directory: Path) -> dict[str, str]:
    """Return the variables that wire any Spark started from this process to the session.

    :param worker_directory: the directory of this process in the session.
    """
    return {
        # An xdist worker, or a session inside of this one, must not take this session's settings for the user's.
        _USER_CONF_DIR: os.environ.get(_USER_CONF_DIR, os.environ.get("SPARK_CONF_DIR", "")),
        # A job that a test starts with spark-submit finds the session's settings here.
        "SPARK_CONF_DIR": str(worker_directory / "conf"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        # Else the workers run whatever python3 comes first on PATH.
        "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable),
        "PYSPARK_DRIVER_PYTHON": os.environ.get("PYSPARK_DRIVER_PYTHON", sys.executable),
        # Read by the redirect of the AWS SDK inside JVMs.
        "ISOLATED_EMR_REDIRECT": "1",
    }


def remote_variables() -> dict[str, str]:
    """Return the variables by which Spark is a remote one in this process and in those that are started from it."""
    return {
        # `pyspark.sql.functions` are those of Spark Connect by it, from the first import of the suite's on.
        "SPARK_CONNECT_MODE_ENABLED": "1",
        # Other plugins (pytest-spark) go by it from their start on.
        "SPARK_REMOTE": NO_SERVER_YET,
    }


def encoded(environ: Mapping[str, str]) -> str:
    """Return variables as a JVM that was started ahead takes them over (``StartedAhead.java``).

    :param environ: the variables.
    """
    # They need not be text.
    lines = b"".join(os.fsencode(f"{name}={value}\0") for name, value in environ.items())
    return base64.b64encode(lines).decode()


def is_of_jvm(name: str) -> bool:
    """Tell whether a JVM has to be started with a variable of the environment, as it could not take it over later.

    :param name: the variable's name.
    """
    return bool(_OF_JVM.fullmatch(name))


def holds_secret(name: str, value: str) -> bool:
    """Tell whether a variable or a setting sounds like one that holds a secret.

    :param name: its name.
    :param value: its value.
    """
    return bool(value) and bool(_SECRET.search(name) or _SECRET_INSIDE.search(value))
