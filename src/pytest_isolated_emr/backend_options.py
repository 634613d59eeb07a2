"""What a backend is made with, of what was asked for."""

from __future__ import annotations

import sys
from typing import Any

from pytest_isolated_emr.backends.docker.images import default_image
from pytest_isolated_emr.settings import Settings


def backend_options(settings: Settings, spark_version: str) -> dict[str, Any]:
    """Return the options of a session's backend, as JSON has them.

    :param settings: what was asked for.
    :param spark_version: that of the installed pyspark.
    """
    if settings.backend != "docker":
        return {}
    docker = settings.docker
    return {
        "image": image_of(settings, spark_version),
        "python": "{}.{}".format(*sys.version_info),
        "spark": spark_version,
        "memory": docker.memory,
        "cpus": docker.cpus,
        "is_open": docker.network == "open",
    }


def image_of(settings: Settings, spark_version: str) -> str:
    """Return the name of the image that the docker backend uses.

    :param settings: what was asked for.
    :param spark_version: that of the installed pyspark.
    """
    return settings.docker.image or default_image(spark_version, settings.release)
