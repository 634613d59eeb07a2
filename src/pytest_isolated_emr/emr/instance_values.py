"""What settings name that only EMR's instances have: interpreters, jars and classes. docs/emr-programs.md lists them."""

from __future__ import annotations

import re
from pathlib import Path

#: Interpreters as they are on EMR's instances; here it is the session's own.
_PYTHON = re.compile(r"(/usr/bin/)?python(3(\.\d+)?)?")
_PYTHON_SETTINGS = ("spark.pyspark.python", "spark.pyspark.driver.python")
#: Where EMR puts its applications and Amazon's libraries.
_DIRECTORIES = ("/usr/lib/", "/usr/share/aws/", "/usr/share/java/", "/etc/hadoop", "/etc/spark", "/opt/aws/")
#: Amazon's committers, file system, credentials and Glue catalog; the codec that EMR gets from hadoop-lzo.
_CLASSES = (
    "com.amazon.emr.",
    "com.amazon.ws.emr.",
    "com.amazonaws.emr.",
    "com.amazonaws.glue.",
    "com.hadoop.compression.lzo.",
)


def is_emr_python(path: str) -> bool:
    """Tell whether an interpreter's path is one of EMR's instances, which the session's own stands for.

    :param path: such as ``/usr/bin/python3``.
    """
    return bool(_PYTHON.fullmatch(path))


def is_only_there(entry: str) -> bool:
    """Tell whether a file or a class is of EMR's instances alone.

    :param entry: a path, maybe with ``*`` at its end or another name after ``#``, or the name of a class.
    """
    path = entry.partition("#")[0].strip().removeprefix("file://")
    if path.startswith(_DIRECTORIES):
        return not Path(path.rstrip("*")).exists()
    return path.startswith(_CLASSES)


def kept_here(key: str, value: str) -> str | None:
    """Return a setting's value without what only EMR's instances have; None if nothing is left.

    :param key: the setting's name.
    :param value: what the user set; of a list each entry is looked at.
    """
    if key in _PYTHON_SETTINGS:
        return None if is_emr_python(value) else value
    separator = ":" if key.endswith(("ClassPath", "LibraryPath")) else ","
    entries = value.split(separator)
    kept = [entry for entry in entries if not is_only_there(entry)]
    if len(kept) == len(entries):
        return value
    return separator.join(kept) or None
