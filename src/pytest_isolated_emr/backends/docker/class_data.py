"""Where the archive of Spark's classes is with which the JVMs of an image's containers start sooner.

See :mod:`pytest_isolated_emr.spark.class_data`, which is the same for JVMs on this machine. An archive is for what its JVM
was started with: the image, and Spark and jars from this machine by the same paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pytest_isolated_emr.backends.docker.images import Image
from pytest_isolated_emr.spark import archive_file

_CLASS_PATH = "spark.driver.extraClassPath"
_OPTIONS = "spark.driver.defaultJavaOptions"


def lock_of(directory: Path, image: str) -> Path:
    """Return the file that whoever makes an image's archive locks.

    :param directory: the directory that holds the archives of containers.
    :param image: the image's name.
    """
    return directory / f"{hashlib.sha256(image.encode()).hexdigest()[:16]}.lock"


class ContainerClassData:
    """The archive for one Connect server.

    :param directory: the directory that holds the archives of containers.
    :param image: what the container is made of.
    :param spark_home: the Spark of this machine, which an image without one has.
    :param settings: all settings of the server.
    """

    def __init__(self, directory: Path, image: Image, spark_home: Path, settings: Mapping[str, str]) -> None:
        # An image's Spark changes with the image; another one of this machine when it is installed anew.
        home = Path(image.spark_home) if image.spark_home else spark_home
        stamp = "" if image.spark_home else (home / "jars").stat().st_mtime_ns
        self.path = directory / archive_file.name_of(
            (image.name, home, settings.get(_CLASS_PATH, "")), (image.id, stamp)
        )

    def options(self, settings: Mapping[str, str]) -> list[str]:
        """Return the Java option by which the server has its classes sooner, if there is the archive.

        :param settings: all settings of the server.
        """
        is_chosen = "ArchiveClassesAtExit" in settings.get(_OPTIONS, "")
        return [f"-XX:SharedArchiveFile={self.path}"] if self.path.is_file() and not is_chosen else []
