"""A cluster's directory: its settings, its commands, its logs, and what its steps write."""

from __future__ import annotations

import json
import os
import site
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from pytest_isolated_emr.emr import configurations, releases
from pytest_isolated_emr.emr.cluster_directory import (
    DIRECTORY_VARIABLE,
    INFO_VARIABLE,
    SPARK_FILE,
    applications_of,
    directory_of,
    hdfs_directory,
    logs_of,
)
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.emr.programs import make_programs, program_of
from pytest_isolated_emr.lifecycle.private_files import write_private
from pytest_isolated_emr.spark import properties
from pytest_isolated_emr.spark.redirect import LOCAL_FILES_CLASS

#: The directory of the module that Python drivers of steps run first, in this package.
_DRIVER = Path("emr", "driver")


class ClusterFiles:
    """The directory of one cluster.

    :param session_directory: the session's.
    :param cluster_id: the cluster.
    """

    def __init__(self, session_directory: Path, cluster_id: str) -> None:
        self._session_directory = session_directory
        self._cluster_id = cluster_id
        self.path = directory_of(session_directory, cluster_id)
        self.logs = logs_of(session_directory, cluster_id)
        self.hdfs = hdfs_directory(self.path)
        self.home = self.path / "home"
        self.programs = self.path / "bin"
        self.variables: dict[str, str] = {}
        #: What of the Configurations has no effect here, one sentence each.
        self.notes: list[str] = []
        #: What runs a module of this package, whose name comes next.
        self.module_runner: list[str] = []
        self._image = ""

    def make(self, spark: ClusterSpark, asked: Sequence[dict[str, Any]], release_label: str | None) -> None:
        """Make the directory for a cluster that uses a Spark.

        :param spark: the session's.
        :param asked: RunJobFlow's Configurations.
        :param release_label: RunJobFlow's ReleaseLabel.
        """
        for name in (
            "applications",
            "bootstrap",
            "conf",
            "derby",
            "hdfs/tmp",
            "hdfs/user/hadoop",
            "home",
            "info",
            "local",
            "logs",
            "python",
            "sessions",
            "steps",
            "tmp",
        ):
            (self.path / name).mkdir(parents=True, mode=0o700)
        applied = configurations.apply(asked)
        settings = properties.merged(self._settings(spark), applied.spark)
        conf = self.path / "conf"
        properties.write(conf / "spark-defaults.conf", settings)
        _write_core_site(conf / "core-site.xml", settings)
        if applied.log4j2:
            configurations.write_log4j2(conf / "log4j2.properties", applied.log4j2)
        described = spark.to_message() | {"properties": settings, "environ": {}}
        ClusterSpark.from_message(described).write(self.path / SPARK_FILE)
        _write_info(self.path / "info", self._cluster_id)
        self._image = spark.image
        self.module_runner = spark.program
        own = self._variables(spark)
        self.variables = spark.environ | own
        self.variables = self.variables_with(applied.variables)
        self.notes = [f"{name}: left out, as it would lead out of the session" for name in applied.left_out]
        self.notes += [f"{name}: of EMR's instances, without effect here" for name in applied.without_effect]
        release = releases.known().get(release_label or "")
        if release is not None and not release.runs(spark.version):
            self.notes.append(f"{release.label} has Spark {release.spark}; this is Spark {spark.version}")
        if spark.image and (release_label or "") not in spark.image:
            self.notes.append(
                f"the container is of the session's image {spark.image}, not of {release_label}'s own"
            )

    def variables_with(self, asked: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of the cluster's commands, and more.

        :param asked: those; a ``PYTHONPATH`` among them comes after the cluster's own.
        """
        python_path = [self.variables["PYTHONPATH"], asked.get("PYTHONPATH", "")]
        joined = os.pathsep.join(filter(None, python_path))
        return {**self.variables, **asked, "PYTHONPATH": joined}

    def program_of(self, word: str) -> str:
        """Return what the first word of a command means on this cluster.

        :param word: such as ``/usr/bin/spark-submit``.
        """
        # In a container a program of the image is found by its name.
        return program_of(word, self.programs, is_there=lambda path: not self._image and Path(path).exists())

    def step_directory(self, step_id: str) -> Path:
        """Return a step's working directory, made if it is not there.

        :param step_id: the step.
        """
        directory = self.path / "steps" / step_id
        directory.mkdir(exist_ok=True, mode=0o700)
        return directory

    def log_directory(self, *parts: str) -> Path:
        """Return a directory of logs, made if it is not there.

        :param parts: its place, as in the layout on S3.
        """
        directory = self.logs.joinpath(*parts)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory

    def applications_of(self, step_id: str) -> list[str]:
        """Return the ids of the applications that a step submitted, in their order.

        :param step_id: the step.
        """
        return applications_of(self._session_directory, self._cluster_id, step_id)

    def _settings(self, spark: ClusterSpark) -> dict[str, str]:
        # The files of the session's own Spark are the process's that described it.
        settings = {
            key: value.replace(spark.directory, str(self.path)) for key, value in spark.properties.items()
        }
        # The metastore of EMR outlives the step: what one step saves as a table, the next one finds.
        derby = f"jdbc:derby:directory:{self.path / 'derby' / 'metastore'};create=true"
        settings["spark.hadoop.javax.jdo.option.ConnectionURL"] = derby
        # In HDFS too, by its path on the disk: Hive takes whatever is called hdfs:// for HDFS's own class.
        warehouse = (self.hdfs / "user" / "spark" / "warehouse").as_uri()
        return {**settings, **_hdfs(self.hdfs), "spark.sql.warehouse.dir": warehouse}

    def _variables(self, spark: ClusterSpark) -> dict[str, str]:
        absent = self.path / "absent"
        make_programs(self.programs, absent, spark)
        conf = str(self.path / "conf")
        path = [
            str(self.programs),
            # What `pip install` in a bootstrap action brings.
            str(self.path / "python" / "bin"),
            str(Path(spark.python).parent),
            str(Path(spark.home, "bin")),
            spark.environ.get("PATH", os.defpath),
            str(absent),
        ]
        python_path = [
            str(Path(spark.package, _DRIVER)),
            str(self.path / "python"),
            spark.environ.get("PYTHONPATH", ""),
        ]
        return {
            DIRECTORY_VARIABLE: str(self.path),
            INFO_VARIABLE: str(self.path / "info"),
            "EMR_CLUSTER_ID": self._cluster_id,
            "HADOOP_CONF_DIR": conf,
            "HOME": str(self.home),
            "JAVA_HOME": spark.java_home,
            "PATH": os.pathsep.join(path),
            # `pip install` in a bootstrap action is for this cluster alone.
            "PIP_TARGET": str(self.path / "python"),
            "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
            # HOME is the cluster's; the user's own packages stay where they are.
            "PYTHONUSERBASE": spark.environ.get("PYTHONUSERBASE") or site.getuserbase(),
            "PYSPARK_PYTHON": spark.python,
            "PYSPARK_DRIVER_PYTHON": spark.python,
            "SPARK_CONF_DIR": conf,
            "SPARK_HOME": spark.home,
            "SPARK_LOCAL_DIRS": str(self.path / "local"),
            "TMPDIR": str(self.path / "tmp"),
            "USER": "hadoop",
        }


def _hdfs(directory: Path) -> dict[str, str]:
    """Return the settings by which ``hdfs://`` is a directory, and the default file system, as it is on EMR.

    https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/ViewFsOverloadScheme.html
    """
    name = "cluster"
    return {
        "spark.hadoop.fs.defaultFS": f"hdfs://{name}",
        "spark.hadoop.fs.hdfs.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
        "spark.hadoop.fs.viewfs.overload.scheme.target.hdfs.impl": "org.apache.hadoop.fs.LocalFileSystem",
        "spark.hadoop.fs.file.impl": LOCAL_FILES_CLASS,
        f"spark.hadoop.fs.viewfs.mounttable.{name}.linkFallback": directory.as_uri(),
    }


def _write_info(directory: Path, cluster_id: str) -> None:
    """Write what scripts read of the cluster and of the instance that they run on: here that is always the master."""
    of_files: dict[str, dict[str, Any]] = {
        "job-flow.json": {"jobFlowId": cluster_id},
        "instance.json": {"isMaster": True, "isRunningNameNode": True, "isRunningDataNode": True},
    }
    for name, content in of_files.items():
        (directory / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _write_core_site(path: Path, settings: dict[str, str]) -> None:
    """Write Hadoop's settings for programs that are not Spark's, where only this user can read them."""
    prefix = "spark.hadoop."
    lines = [
        f"<property><name>{escape(key.removeprefix(prefix))}</name><value>{escape(value)}</value></property>\n"
        for key, value in settings.items()
        if key.startswith(prefix)
    ]
    write_private(path, f"<configuration>\n{''.join(lines)}</configuration>\n".encode())
