"""The Spark of a cluster as its container has it: the image's Java and Python, and the endpoint where that is reached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import ClusterRequest
from pytest_isolated_emr.backends.docker.class_data import ContainerClassData
from pytest_isolated_emr.backends.docker.cluster_containers import SESSION_PORTS
from pytest_isolated_emr.backends.docker.container import PACKAGE_ROOT
from pytest_isolated_emr.backends.docker.images import Image
from pytest_isolated_emr.backends.docker.visible_environment import replaced, visible_environment
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.spark import connect

_CLASS_PATH = "spark.driver.extraClassPath"
_PACKAGE = f"{PACKAGE_ROOT}/pytest_isolated_emr"
_PIP_HINT = (
    "pip has no way out: the session's network is closed. --isolated-emr-docker-network=open opens it; or install from "
    "files that the container sees, or have the packages in the image"
)


def in_container(
    request: ClusterRequest,
    image: Image,
    found: Mapping[str, Any],
    urls: Mapping[str, str],
    *,
    is_open: bool,
    class_data: Path,
) -> ClusterSpark:
    """Return a cluster's Spark as commands in its container see it.

    :param request: what the cluster begins with.
    :param image: what its container is made of.
    :param found: what that image has; see :func:`pytest_isolated_emr.backends.docker.supervisor.look`.
    :param urls: URLs of this machine, and those by which containers reach the same.
    :param is_open: whether containers reach other networks.
    :param class_data: the directory with archives of classes for containers.
    :raises ImageUnfit: it has no Java.
    """
    if not found["java"]:
        raise errors.ImageUnfit(
            "The image has no Java.",
            checked=f"JAVA_HOME and PATH in {image.name}",
            cure="Use an image with Java 17 or newer.",
        )
    spark = request.spark
    settings = replaced(spark.properties, urls)
    if found["hadoop_aws"]:
        # The image has an S3A of its own, for its own Hadoop.
        settings = connect.without_s3_jars(settings)
    return replace(
        spark,
        home=found["spark_home"] or spark.home,
        version=found["spark"] or spark.version,
        java_home=str(Path(found["java"]).parent.parent),
        python=found["python_executable"],
        properties=settings,
        class_path=settings[_CLASS_PATH],
        # Those that the request has are for this machine's Java.
        class_options=ContainerClassData(class_data, image, Path(spark.home), settings).options(settings),
        environ=_environment(request, found, urls, is_open=is_open),
        package=_PACKAGE,
        # Without the variables of the job's Python, which are another's.
        program=[found["python_executable"], "-I", f"{_PACKAGE}/emr/commands/run.py"],
        image=image.name,
        connect_ports=list(SESSION_PORTS) if request.has_sessions else [],
        pip_hint="" if is_open else _PIP_HINT,
    )


def _environment(
    request: ClusterRequest, found: Mapping[str, Any], urls: Mapping[str, str], *, is_open: bool
) -> dict[str, str]:
    environ = request.spark.environ
    # The image's own Spark comes with Python's packages of its own.
    packages = () if found["spark_home"] else request.files.packages
    python_path = [environ.get("PYTHONPATH", ""), *map(str, packages)]
    variables = {
        "PATH": found["path"],
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        # The tests call a session's server by way of the network's gateway.
        connect.PEERS_VARIABLE: "any",
    }
    if not is_open:
        # Nobody answers, however often it asks.
        variables |= {"PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "3"}
    return visible_environment(environ, urls) | variables
