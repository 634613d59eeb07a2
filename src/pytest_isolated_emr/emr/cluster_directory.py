"""Where things are in a cluster's directory, for those who write them and those who read them."""

from __future__ import annotations

from pathlib import Path

#: Where a command of a cluster finds the cluster's directory.
DIRECTORY_VARIABLE = "ISOLATED_EMR_CLUSTER_DIRECTORY"
#: Where a command finds what EMR has in ``/mnt/var/lib/info``.
INFO_VARIABLE = "ISOLATED_EMR_CLUSTER_INFO"
#: The description of its Spark there.
SPARK_FILE = "spark.json"


def directory_of(session_directory: Path, cluster_id: str) -> Path:
    """Return the directory of a cluster.

    :param session_directory: the session's.
    :param cluster_id: the cluster.
    """
    return session_directory / "clusters" / cluster_id


def logs_of(session_directory: Path, cluster_id: str) -> Path:
    """Return the directory of a cluster's logs, in the layout that they have on S3.

    :param session_directory: the session's.
    :param cluster_id: the cluster.
    """
    return directory_of(session_directory, cluster_id) / "logs"


def hdfs_directory(cluster: Path) -> Path:
    """Return the directory that stands for HDFS.

    :param cluster: the cluster's directory.
    """
    return cluster / "hdfs"


def applications_of(session_directory: Path, cluster_id: str, step_id: str) -> list[str]:
    """Return the ids of the applications that a step submitted, in their order.

    :param session_directory: the session's.
    :param cluster_id: the cluster.
    :param step_id: the step.
    """
    notes = applications_file(directory_of(session_directory, cluster_id), step_id)
    return notes.read_text(encoding="utf-8").split() if notes.is_file() else []


def applications_file(cluster: Path, step_id: str) -> Path:
    """Return the file that names the applications that a step submitted.

    :param cluster: the cluster's directory.
    :param step_id: the step.
    """
    return cluster / "steps" / f"{step_id}.applications"
