"""Puts Spark and a session together: the installed Spark and Java, the jars, the settings."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_isolated_emr.backend_options import image_of
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.errors import JavaNotFound, JavaTooOld
from pytest_isolated_emr.given_settings import option
from pytest_isolated_emr.lifecycle.memory import usable_memory
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.session import Session
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spare_key import spare_key
from pytest_isolated_emr.spark import (
    archive_file,
    connect,
    driver_memory,
    jars,
    packages,
    properties,
    python_daemon,
)
from pytest_isolated_emr.spark.class_data import ClassData
from pytest_isolated_emr.spark.environment import user_conf_directory
from pytest_isolated_emr.spark.installation import SparkInstallation, find_spark
from pytest_isolated_emr.spark.jar_cache import JarSet
from pytest_isolated_emr.spark.java import Java, require_java
from pytest_isolated_emr.spark.s3 import s3_settings

Properties = dict[str, str]


class SparkWiring:
    """What a session's Spark is made of.

    :param settings: what was asked for.
    :param environ: the user's own environment: where Java and Spark are, and the user's own Spark settings.
    :raises PysparkNotFound: and the other errors of a machine that cannot run Spark.
    """

    def __init__(self, settings: Settings, environ: dict[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self.installation: SparkInstallation = find_spark(environ)
        root = StateRoot.from_environment()
        self.java: Java = self._require_java(root)
        self.jar_cache, self._archives = root.jars, root.class_data
        self._user_conf = user_conf_directory(environ, self.installation.home)

    def _require_java(self, root: StateRoot) -> Java:
        """Return the Java that Spark, or what makes its jars, runs with."""
        version = self.installation.version
        try:
            return require_java(version, self._environ)
        except (JavaNotFound, JavaTooOld):
            if self._settings.backend != "docker":
                raise
            # Rare, and slow to import.
            from pytest_isolated_emr.backends.docker.container_java import container_java

            image = image_of(self._settings, version)
            return container_java(
                image, root.container_java / hashlib.sha256(image.encode()).hexdigest()[:16]
            )

    def key_of_spare(self, config: pytest.Config) -> str:
        """Return by what the run finds a spare, and leaves one; empty for none.

        :param config: pytest's.
        """
        if not self._settings.warm or (self._settings.backend == "docker" and option(config, "basetemp")):
            # A container would see the directory as it was before pytest cleared it.
            return ""
        return spare_key(
            config, self._settings, self._environ, installation=self.installation, java=self.java
        )

    def fetch_jars(self, progress: Callable[[str], None]) -> jars.JarSet:
        """Return the jars that make Spark speak S3, fetched if they are not in the cache.

        :param progress: is told what is being waited for.
        :raises JarsUnavailable: they cannot be fetched.
        """
        return jars.s3_jars(
            self.installation,
            self.java,
            self.jar_cache,
            repositories=self._settings.repositories,
            progress=progress,
        )

    def slow_start(self) -> str:
        """Return why Spark starts later than it could, and what to do; empty if it does not."""
        jar_set = jars.cached_s3_jars(self.installation, self.jar_cache)
        if jar_set is None:
            return "slow start: its jars are fetched first"
        if self._settings.backend != "local":
            return ""
        if not ClassData(self._archives, self.installation, self.java, jar_set).path.is_file():
            return "slow start: no archive of Spark's classes (isolated-emr fetch makes one)"
        return ""

    def defaults(
        self, session: Session, progress: Callable[[str], None], note: Callable[[str], None]
    ) -> Properties:
        """Return the settings that this process's Spark starts with: the session's, and the user's over them.

        :param session: the session.
        :param progress: is told what is being waited for.
        :param note: takes what the user should read at the end.
        """
        theirs = self._user_defaults()
        for key in properties.split_protected(theirs)[1]:
            note(f"{key}: set in {self._user_conf}, left out, as it would lead out of the session")
        return properties.merged(self.own_defaults(session, progress), theirs)

    def own_defaults(self, session: Session, progress: Callable[[str], None]) -> Properties:
        """Return the settings that a session's Spark starts with where the user has none.

        :param session: the session.
        :param progress: is told what is being waited for.
        """
        jar_set = self.fetch_jars(progress)
        credentials, url = session.credentials, session.endpoint_url
        assert credentials is not None
        assert url is not None
        own = properties.default_properties(
            session.worker_directory, cores=properties.cores_for(os.environ), ui=self._settings.spark_ui
        )
        own |= s3_settings(
            self.installation,
            url,
            credentials.access_key_id,
            credentials.secret_access_key,
            credentials.region,
        )
        own["spark.driver.extraClassPath"] = str(jar_set.directory / "*")
        if self._settings.backend == "local":
            # A container has a bound of its own, which goes with Spark's default.
            own |= driver_memory.driver_memory(os.environ, usable_memory())
        return own

    def class_data(self, progress: Callable[[str], None]) -> ClassData:
        """Return the archive of classes for this Java and Spark, made or not.

        :param progress: is told what is being waited for.
        :raises JarsUnavailable: the jars that it is for cannot be fetched.
        """
        return ClassData(self._archives, self.installation, self.java, self.fetch_jars(progress))

    def warm_later_runs(self, session: Session) -> str:
        """Make what is missing for a quick start, in the background; return what is being made, empty for nothing.

        :param session: the session, which is about to end.
        """
        jar_set = jars.cached_s3_jars(self.installation, self.jar_cache)
        if not self._settings.warm or jar_set is None or not self._archive_in_background(session, jar_set):
            return ""
        return "Spark's classes are archived in the background, for about a minute: later runs start in half the time"

    def _archive_in_background(self, session: Session, jar_set: JarSet) -> bool:
        if self._settings.backend == "local":
            class_data = ClassData(self._archives, self.installation, self.java, jar_set)
            return class_data.make_in_background(self._environ)
        looked_for = map(Path, session.client.request("class_data")["paths"])
        missing = next((path for path in looked_for if not path.is_file()), None)
        if missing is None:
            return False
        # Most runs are local ones, and have no use for it.
        from pytest_isolated_emr.backends.docker.class_data import lock_of

        image = image_of(self._settings, self.installation.version)
        lock = lock_of(StateRoot.from_environment().container_class_data, image)
        return archive_file.make_in_background(["--image", image], missing, lock, self._environ)

    def cluster_spark(
        self, session: Session, settings: Properties, environ: Mapping[str, str]
    ) -> ClusterSpark:
        """Return the Spark that EMR clusters of the session use.

        :param session: the session.
        :param settings: those of its owner's Spark, whose jars are in the cache.
        :param environ: the environment of its owner, as tests see it.
        """
        jar_set = jars.cached_s3_jars(self.installation, self.jar_cache)
        class_data = (
            ClassData(self._archives, self.installation, self.java, jar_set) if jar_set is not None else None
        )
        return ClusterSpark(
            home=str(self.installation.home),
            version=self.installation.version,
            java_home=str(self.java.home),
            python=environ.get("PYSPARK_PYTHON", sys.executable),
            properties=settings,
            directory=str(session.worker_directory),
            class_path=settings["spark.driver.extraClassPath"],
            class_options=class_data.options(settings) if class_data is not None else [],
            environ=dict(environ),
            jar_cache=str(self.jar_cache),
            repositories=list(self._settings.repositories),
            package=str(Path(__file__).parents[1]),
            program=[sys.executable, "-m"],
        )

    def for_jvm(
        self, settings: Properties, environ: Mapping[str, str], progress: Callable[[str], None]
    ) -> Properties:
        """Return the settings that a JVM is started with: packages as jars, and Java options for a quick start.

        :param settings: what the session, the user and the suite want.
        :param environ: the JVM's environment.
        :param progress: is told what is being waited for.
        :raises JarsUnavailable: packages cannot be fetched.
        """
        settings = python_daemon.with_daemon(self.with_packages(settings, progress))
        quick = properties.quick_start_options(settings, environ)
        return properties.with_java_options(settings, [*quick, *self.class_data(progress).options(settings)])

    def for_server(
        self, settings: Properties, environ: Mapping[str, str], progress: Callable[[str], None]
    ) -> Properties:
        """Return the settings that a Spark Connect server in a container is started with.

        :param settings: what the session, the user and the suite want.
        :param environ: the server's environment.
        :param progress: is told what is being waited for.
        :raises JarsUnavailable: packages cannot be fetched.
        """
        settings = python_daemon.with_daemon(self.with_packages(settings, progress))
        ours = {**connect.CONTAINER_SETTINGS, "spark.jars": ",".join(map(str, self.connect_jars(progress)))}
        for key in ("spark.jars", "spark.connect.grpc.interceptor.classes", connect.COMMANDS_SETTING):
            ours[key] = ",".join(filter(None, [ours[key], settings.get(key, "")]))
        quick = properties.quick_start_options(settings, environ)
        return properties.with_java_options({**connect.CONTAINER_DEFAULTS, **settings, **ours}, quick)

    def connect_jars(self, progress: Callable[[str], None]) -> list[Path]:
        """Return the jars that a Spark Connect server needs.

        :param progress: is told what is being waited for.
        :raises JarsUnavailable: they cannot be fetched or made.
        """
        return connect.connect_jars(
            self.installation,
            self.java,
            self.jar_cache,
            repositories=self._settings.repositories,
            progress=progress,
        )

    def with_packages(self, settings: Properties, progress: Callable[[str], None]) -> Properties:
        """Return the settings with the jars of ``spark.jars.packages`` in place of their coordinates.

        :param settings: all settings of a JVM.
        :param progress: is told what is being waited for.
        :raises JarsUnavailable: they cannot be fetched.
        """
        return packages.with_packages(
            settings,
            self.installation,
            self.java,
            self.jar_cache,
            repositories=self._settings.repositories,
            progress=progress,
        )

    def write_configuration(self, directory: Path, settings: Properties) -> None:
        """Write a configuration directory for Spark that other processes start, ``spark-submit`` say.

        :param directory: the value of ``SPARK_CONF_DIR``.
        :param settings: all settings.
        """
        directory.mkdir(mode=0o700, exist_ok=True)
        properties.write(directory / "spark-defaults.conf", settings)
        for path in self._user_conf.glob("log4j2.*"):
            shutil.copy(path, directory)

    def _user_defaults(self) -> Properties:
        path = self._user_conf / "spark-defaults.conf"
        return properties.read(path) if path.is_file() else {}
