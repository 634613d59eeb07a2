"""The conftest of a suite whose Spark is a session of EMR's: without the option the plugin itself is off."""

import importlib.util
import os
import sys
import tempfile
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from pytest_isolated_emr.spark.connect.emr_access import EmrAccess
from pytest_isolated_emr.spark.connect.modules import SuiteModules
from pytest_isolated_emr.spark.connect.runtime import ConnectRuntime
from pytest_isolated_emr.visible_files import suite_path


def stand_in():
    # By its path: what is on the module path is sent to Spark's workers.
    spec = importlib.util.spec_from_file_location("stand_in_keeper", os.environ["STAND_IN"])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.StandInKeeper(os.environ["CLUSTER"], os.environ["EMR_HOME"])


class Elsewhere:
    """Finds modules as those of an editable install are found: no directory of the module path has them."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is not None:
            return None
        return PathFinder.find_spec(name, os.environ["ELSEWHERE"].split(":"))


sys.meta_path.append(Elsewhere)
NOTES = []
KEEPER = stand_in()
RUNTIME = ConnectRuntime(
    KEEPER,
    access=EmrAccess(
        KEEPER,
        # Clients have to come back for the results of what takes longer.
        defaults=lambda: {"spark.connect.execute.reattachable.senderMaxStreamDuration": "1s"},
        python_path=suite_path,
        note=NOTES.append,
        wait_for_cluster=lambda: None,
        progress=NOTES.append,
    ),
    modules=SuiteModules(
        Path(tempfile.mkdtemp(dir=os.environ["WORK"])), NOTES.append, os.environ["PYFILES"].split(":")
    ),
    note=NOTES.append,
)
RUNTIME.install()


def pytest_collection_finish(session):
    RUNTIME.has_collected(session.items)


def pytest_unconfigure():
    sent = [path for path in sys.path if "modules-" in path]
    RUNTIME.uninstall()
    assert "SPARK_REMOTE" not in os.environ
    print(f"left {len(sent)}, uninstalled")


@pytest.fixture
def runtime():
    return RUNTIME


@pytest.fixture
def keeper():
    return KEEPER


@pytest.fixture
def notes():
    return NOTES


@pytest.fixture(scope="session")
def spark_session():
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


@pytest.fixture(scope="session")
def isolation(spark_session):
    return RUNTIME.isolation_of(spark_session)


@pytest.fixture
def spark(isolation):
    with isolation.fresh_session() as session:
        yield session
