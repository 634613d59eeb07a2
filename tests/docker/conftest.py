"""What tests of containers have beside the others'."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_isolated_emr.backends.docker.class_data import ContainerClassData
from pytest_isolated_emr.backends.docker.engine import Engine
from pytest_isolated_emr.backends.docker.images import Image
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.spark import jars
from pytest_isolated_emr.spark.installation import find_spark
from tests.engine import IMAGE
from tests.spares.by_spare import live, wait_for, without_archive


@pytest.fixture
def without_archives(home: Path, own_cache: None) -> None:
    """Have runs archive no classes: it has just failed, as they find it."""
    without_archive(home)
    root, installation = StateRoot(home), find_spark()
    jar_set = jars.cached_s3_jars(installation, root.jars)
    image = Image.find(Engine.connect(), IMAGE)
    assert jar_set is not None
    assert image is not None
    settings = {"spark.driver.extraClassPath": str(jar_set.directory / "*")}
    archive = ContainerClassData(root.container_class_data, image, installation.home, settings).path
    archive.parent.mkdir(mode=0o700, exist_ok=True)
    archive.with_suffix(".log").touch()


@pytest.fixture
def ends_spares(home: Path) -> Iterator[None]:
    """End what the test leaves."""
    yield
    environ = os.environ | {"ISOLATED_EMR_HOME": str(home)}
    sweep = [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--spares", "--delete"]

    def are_ended() -> bool:
        # One that is busy does not answer in time, and is asked again.
        subprocess.run(sweep, env=environ, stdout=subprocess.DEVNULL, check=False)
        return not list(live(home))

    wait_for(are_ended, f"the end of all that is live in {home}")
