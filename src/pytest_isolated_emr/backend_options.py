"""What a backend is made with, of what was asked for. Each backend's part is imported by whoever has chosen it."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Any

from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.settings import Settings

if TYPE_CHECKING:
    from pytest_isolated_emr.emr_settings import EmrSettings


def backend_options(settings: Settings, spark_version: str) -> dict[str, Any]:
    """Return the options of a session's backend, as JSON has them.

    :param settings: what was asked for.
    :param spark_version: that of the installed pyspark.
    """
    if settings.emr is not None:
        return _emr_options(settings.emr, settings.wait)
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
        "class_data": str(StateRoot.from_environment().container_class_data),
    }


def _emr_options(emr: EmrSettings, wait_seconds: float) -> dict[str, Any]:
    from pytest_isolated_emr.backends.emr.options import EmrOptions

    return EmrOptions(
        bucket=emr.bucket,
        prefix=emr.prefix,
        role_arn=emr.role_arn,
        cluster_roles=(emr.service_role, emr.instance_profile),
        idle_minutes=emr.idle_minutes,
        most_minutes=emr.most_minutes,
        max_sessions=emr.max_sessions,
        wait_seconds=wait_seconds,
        user=getpass.getuser(),
    ).to_message()


def image_of(settings: Settings, spark_version: str) -> str:
    """Return the name of the image that the docker backend uses.

    :param settings: what was asked for.
    :param spark_version: that of the installed pyspark.
    """
    from pytest_isolated_emr.backends.docker.images import default_image

    return settings.docker.image or default_image(spark_version, settings.release)
