"""Spark's settings of a session, and which of them are not the user's to change."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.lifecycle.processors import usable_processors

#: Settings that are read when the JVM starts, and silently ignored by a JVM that runs already.
#: https://spark.apache.org/docs/latest/configuration.html#application-properties
JVM_START = frozenset(
    {
        "spark.driver.defaultJavaOptions",
        "spark.driver.extraClassPath",
        "spark.driver.extraJavaOptions",
        "spark.driver.extraLibraryPath",
        "spark.driver.memory",
        "spark.jars.excludes",
        "spark.jars.ivySettings",
        "spark.jars.packages",
        "spark.jars.repositories",
    }
)

#: Settings that name classes of the user's which hear of all that Spark does.
LISTENERS = (
    "spark.extraListeners",
    "spark.plugins",
    "spark.sql.queryExecutionListeners",
    "spark.sql.streaming.streamingQueryListeners",
)

# By any of these, code that was written for a cluster would lead out of the session.
_PROTECTED = re.compile(
    r"""
    spark\.(remote|driver\.bindAddress|driver\.host|submit\.deployMode)
    | (spark\.hadoop\.|spark\.hive\.)? (
        fs\.s3[an]?\.impl
      | fs\.AbstractFileSystem\.s3[an]?\.impl
      | fs\.s3n?\.awsAccessKeyId | fs\.s3n?\.awsSecretAccessKey
      | fs\.s3a\.(bucket\.[^=]+\.)?(
            endpoint(\.region|\.fips)? | access\.key | secret\.key | session\.token | aws\.credentials\.provider(\.mapping)?
          | assumed\.role\..* | path\.style\.access | connection\.ssl\.enabled | proxy\..* | s3\.client\.factory\.impl
          | security\.credential\.provider\.path )
      | javax\.jdo\.option\..*
      | (hive\.)?metastore\.uris | hive\.metastore\.client\.factory\.class | hive\.imetastoreclient\.factory\.class
    )
    """,
    re.VERBOSE,
)
_OPTIONS = "spark.driver.defaultJavaOptions"
#: Where a JVM finds options besides its command line (Spark's launcher reads the first).
_JAVA_OPTIONS = ("SPARK_SUBMIT_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
_PLAIN_OPTION = re.compile(
    r"-D(?!log4j).* | -Xss.* | -XX:(TieredStopAtLevel|MetaspaceSize|ErrorFile|SharedArchiveFile)=.* | -XX:[+-]Use\w+",
    re.VERBOSE,
)
_LOCAL_MASTER = re.compile(r"local(\[.*\])?")


def is_protected(key: str, value: str) -> bool:
    """Tell whether a setting of the user's is left out, as it would lead out of the session.

    :param key: the setting's name, with or without ``spark.hadoop.``.
    :param value: what the user set.
    """
    if key == "spark.master":
        return not _LOCAL_MASTER.fullmatch(value)
    return bool(_PROTECTED.fullmatch(key))


def default_properties(directory: Path, *, cores: int, ui: bool) -> dict[str, str]:
    """Return the settings that every Spark of a session starts with, apart from S3's.

    :param directory: for files of this process: warehouse, metastore, temporary ones.
    :param cores: how many cores Spark uses.
    :param ui: whether Spark's web UI runs.
    """
    temporary = directory / "tmp"
    return {
        "spark.master": f"local[{cores}]",
        "spark.app.name": "isolated-emr",
        "spark.submit.deployMode": "client",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # Other users reach the driver's ports, which give out cached data and files, and take Java's objects. Spark makes
        # the secret itself.
        "spark.authenticate": "true",
        "spark.ui.enabled": "true" if ui else "false",
        "spark.ui.port": "0",
        "spark.ui.showConsoleProgress": "false",
        # Test data is small: with the default of 200 the time goes into starting tasks.
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
        "spark.local.dir": str(directory / "local"),
        "spark.driver.defaultJavaOptions": " ".join(
            [
                f"-Djava.io.tmpdir={temporary}",
                f"-Dderby.system.home={directory / 'derby'}",
                f"-Dderby.stream.error.file={directory / 'derby.log'}",
                # The counters would be in a directory that all JVMs of the user share.
                "-XX:-UsePerfData",
                # Without a heap dump's path the JVM's last words go into the project's directory.
                f"-XX:ErrorFile={directory / 'hs_err.log'}",
            ]
        ),
        # The metastore lives and dies with the JVM.
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:metastore;create=true",
        "spark.hadoop.javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
        "spark.hadoop.datanucleus.schema.autoCreateAll": "true",
        "spark.hadoop.hive.metastore.schema.verification": "false",
        "spark.hadoop.hive.exec.scratchdir": str(temporary / "hive"),
        "spark.hadoop.hive.exec.local.scratchdir": str(temporary / "hive-local"),
        "spark.hadoop.hive.downloaded.resources.dir": str(temporary / "hive-resources"),
        "spark.hadoop.hive.querylog.location": str(temporary / "hive-log"),
        "spark.hadoop.hadoop.tmp.dir": str(temporary / "hadoop"),
    }


def merged(defaults: Mapping[str, str], options: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults with the user's settings over them; what belongs together is joined.

    :param defaults: the session's.
    :param options: the user's; those that lead out of the session are left out.
    """
    both = {**defaults, **split_protected(options)[0]}
    for key, separator in (("spark.driver.extraClassPath", os.pathsep), (_OPTIONS, " ")):
        if key in options and defaults.get(key, "") not in options[key]:
            both[key] = f"{defaults[key]}{separator}{options[key]}"
    return both


def quick_start_options(settings: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Return Java options by which a JVM starts sooner, where the user chose nothing else.

    Most of a test run's time is a JVM's first seconds, which the optimizing compiler and a collector on several threads
    spend on work that does not pay before the run is over. docs/benchmarks.md has the figures.

    :param settings: all settings of a JVM.
    :param environ: the JVM's environment.
    """
    given = (_OPTIONS, "spark.driver.extraJavaOptions")
    chosen = " ".join(
        [*(settings.get(key, "") for key in given), *(environ.get(name, "") for name in _JAVA_OPTIONS)]
    )
    # Below its size for classes the JVM stops to collect them: Spark has loaded twenty thousand by its first query.
    quick = ["-XX:MetaspaceSize=256m"]
    quick += [] if "-XX:TieredStopAtLevel=" in chosen else ["-XX:TieredStopAtLevel=1"]
    # A JVM with two collectors to choose from does not start.
    quick += [] if re.search(r"-XX:\+Use\w+GC\b", chosen) else ["-XX:+UseSerialGC"]
    return quick


def has_plain_java(settings: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    """Tell whether a JVM's options let it be started some time before it is used: no agent, no log and no program of the
    user's is among them.

    :param settings: all settings of a JVM.
    :param environ: the JVM's environment.
    """
    options = " ".join(settings.get(key, "") for key in (_OPTIONS, "spark.driver.extraJavaOptions")).split()
    return all(map(_PLAIN_OPTION.fullmatch, options)) and not any(map(environ.get, _JAVA_OPTIONS))


def with_java_options(settings: Mapping[str, str], options: Sequence[str]) -> dict[str, str]:
    """Return the settings with more options for the JVM, over which those that are there win.

    :param settings: all settings of a JVM.
    :param options: the options.
    """
    return {**settings, _OPTIONS: " ".join([*options, settings.get(_OPTIONS, "")]).strip()}


def cores_for(environ: Mapping[str, str]) -> int:
    """Return how many cores one process's Spark uses, so that xdist workers share the machine.

    :param environ: where xdist says how many workers there are.
    """
    workers = int(environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1, usable_processors() // workers)


def split_protected(settings: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Part the user's settings into those that hold, and the names of those that are left out.

    :param settings: what the user set.
    """
    held = {key: value for key, value in settings.items() if not is_protected(key, value)}
    return held, [key for key in settings if key not in held]


def jvm_start_options(settings: Mapping[str, str]) -> dict[str, str]:
    """Return those of the settings that only a new JVM takes.

    :param settings: what the user set.
    """
    return {key: value for key, value in settings.items() if key in JVM_START}


def is_session_setting(key: str) -> bool:
    """Tell whether a running session takes the setting: Spark SQL's own (but the static ones) and Hadoop's.

    :param key: the setting's name.
    """
    static = ("spark.sql.extensions", "spark.sql.warehouse.dir", "spark.sql.catalogImplementation")
    return key.startswith(("spark.sql.", "spark.hadoop.")) and not key.startswith(
        (*static, "spark.sql.catalog.")
    )


def text_of(value: object) -> str:
    """Return a setting's value as PySpark's builder has it.

    :param value: what the user gave.
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def write(path: Path, properties: dict[str, str]) -> None:
    """Write Spark settings where only this user can read them, as there are secrets among them.

    :param path: a new file, in the format of Java's properties.
    :param properties: the settings.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="latin-1") as file:
        file.writelines(f"{_escape(name)}={_escape(value)}\n" for name, value in properties.items())


def _escape(text: str) -> str:
    # https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/util/Properties.html#load(java.io.Reader)
    plain = "".join("\\" + c if c in "\\:=#! " else c for c in text)
    plain = plain.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return "".join(c if ord(c) < 128 else "".join(f"\\u{unit:04x}" for unit in _utf16(c)) for c in plain)


def _utf16(character: str) -> tuple[int, ...]:
    encoded = character.encode("utf-16-be")
    return struct.unpack(f">{len(encoded) // 2}H", encoded)


def read(path: Path) -> dict[str, str]:
    """Read a user's ``spark-defaults.conf``: a name, then white space or ``=`` or ``:``, then the value.

    :param path: the file.
    """
    settings = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(r"\s*([^\s#!=:][^\s=:]*)\s*[=:\s]\s*(.*?)\s*$", line)
        if match:
            settings[match[1]] = re.sub(r"\\(.)", r"\1", match[2])
    return settings
