"""A run's Spark on this machine: in JVMs, or in containers."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.backend_options import image_of
from pytest_isolated_emr.emr.releases import Release
from pytest_isolated_emr.errors import IsolatedEmrError
from pytest_isolated_emr.run_context import RunContext
from pytest_isolated_emr.session import OWNER
from pytest_isolated_emr.spark import properties
from pytest_isolated_emr.spark.base import Runtime
from pytest_isolated_emr.spark.runtime import SparkRuntime
from pytest_isolated_emr.spark.wiring import SparkWiring
from pytest_isolated_emr.visible_files import visible_files


class SparkHere:
    """One process's part of it.

    :param context: of the run.
    :param wiring: Spark, Java and jars.
    :param release: the release that EMR clusters have unless a test names another.
    """

    def __init__(self, context: RunContext, wiring: SparkWiring, release: Release) -> None:
        self._context = context
        self._wiring = wiring
        self._release = release
        self._patches = pytest.MonkeyPatch()
        self.runtime: Runtime = self._make_runtime()

    def header(self) -> list[str]:
        """Return what the header says of it: the versions, and why it is slow to start if it is."""
        return [self._spark_and_release(), self._java_or_image(), self._wiring.slow_start()]

    def begin(self) -> None:
        """Start it, and tell the keeper what the session's EMR clusters use."""
        context, wiring = self._context, self._wiring
        # An image may be what the jars are fetched with.
        context.wait_for_backend()
        if self.runtime.is_remote:
            self._share_temporary_files()
        wiring.fetch_jars(context.progress)
        if not context.config.pluginmanager.hasplugin("dsession"):
            self.runtime.start()
        conf = self.conf()
        wiring.write_configuration(Path(os.environ["SPARK_CONF_DIR"]), conf)
        if context.session.worker == OWNER:
            spark = wiring.cluster_spark(context.session, conf, os.environ)
            files = visible_files(context.config, context.session, wiring.jar_cache)
            context.session.client.request("offer_spark", spark=spark.to_message(), files=files.to_message())

    def item_collected(self, item: Any) -> None:
        """Need no test: it starts with the collection."""

    def has_collected(self, items: Sequence[Any]) -> None:
        """Know the tests, and see that Spark can be had."""
        self.runtime.has_collected(items)
        self._context.session.client.request("ready")

    def conf(self) -> dict[str, str]:
        """Return the settings that it starts with, as conftests' hook changed them."""
        context = self._context
        own = self._wiring.defaults(context.session, context.progress, context.note)
        conf = dict(own)
        context.config.hook.pytest_isolated_emr_spark_conf(config=context.config, conf=conf)
        held, left_out = properties.split_protected({key: str(value) for key, value in conf.items()})
        for key in left_out:
            if conf[key] != own.get(key):
                context.note(f"{key}: set by a conftest, left out, as it would lead out of the session")
        return properties.merged(own, held)

    def warm_later_runs(self) -> str:
        """Archive Spark's classes, if they are not archived yet."""
        try:
            return self._wiring.warm_later_runs(self._context.session)
        except (IsolatedEmrError, OSError, subprocess.SubprocessError) as error:
            return f"Spark's classes could not be archived for later runs: {error}"

    def uninstall(self) -> None:
        """Let go of it, and leave this process as it was."""
        self.runtime.uninstall()
        self._patches.undo()

    def _make_runtime(self) -> Runtime:
        context, wiring = self._context, self._wiring
        common: dict[str, Any] = {
            "spark_home": wiring.installation.home,
            "defaults": self.conf,
            "timeout": context.settings.start_timeout,
        }
        if context.session.backend == "local":
            return SparkRuntime(
                context.session.client,
                for_jvm=lambda wanted, environ: wiring.for_jvm(wanted, environ, context.progress),
                note=context.note,
                **common,
            )
        # Most runs are local ones, and have no use for these.
        from pytest_isolated_emr.spark.connect.container_access import ContainerAccess
        from pytest_isolated_emr.spark.connect.modules import SuiteModules
        from pytest_isolated_emr.spark.connect.runtime import ConnectRuntime

        access = ContainerAccess(
            context.session.client,
            for_server=lambda wanted, environ: wiring.for_server(wanted, environ, context.progress),
            files=lambda: visible_files(context.config, context.session, wiring.jar_cache),
            **common,
        )
        return ConnectRuntime(
            context.session.client,
            access=access,
            modules=SuiteModules(context.session.worker_directory, context.note),
            note=context.note,
        )

    def _share_temporary_files(self) -> None:
        """Have temporary files of this process where its Spark sees them."""
        session = self._context.session
        # pytest's own stay where they are, and are seen there.
        visible_files(self._context.config, session, self._wiring.jar_cache)
        directory = session.worker_directory / "tempfile"
        directory.mkdir(mode=0o700)
        self._patches.setattr(tempfile, "tempdir", str(directory))
        self._patches.setenv("TMPDIR", str(directory))

    def _spark_and_release(self) -> str:
        version = self._wiring.installation.version
        if self._release.runs(version):
            return f"Spark {version}"
        return f"Spark {version} ({self._release.label} has {self._release.spark})"

    def _java_or_image(self) -> str:
        if self._context.session.backend == "docker":
            return f"image {image_of(self._context.settings, self._wiring.installation.version)}"
        return f"Java {self._wiring.java.version}"
