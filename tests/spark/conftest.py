"""What the tests of this directory share: the installed Spark and Java, and one cache of jars."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_isolated_emr.spark.installation import SparkInstallation, find_spark
from pytest_isolated_emr.spark.jars import JarSet, s3_jars
from pytest_isolated_emr.spark.java import Java, require_java

# It runs in a process of its own, with a server.
collect_ignore = ["suites"]


@pytest.fixture(scope="session")
def installation() -> SparkInstallation:
    return find_spark()


@pytest.fixture(scope="session")
def java(installation: SparkInstallation) -> Java:
    return require_java(installation.version)


@pytest.fixture(scope="session")
def jar_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = os.environ.get("ISOLATED_EMR_HOME")
    return Path(home) / "jars" if home else tmp_path_factory.mktemp("jars")


@pytest.fixture(scope="session")
def s3_set(installation: SparkInstallation, java: Java, jar_cache: Path) -> JarSet:
    return s3_jars(installation, java, jar_cache, progress=print)
