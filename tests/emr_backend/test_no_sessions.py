"""On a release without Spark Connect sessions what asks for Spark is told the choices, and nothing else changes."""

from __future__ import annotations

import pytest

from tests.conftest import Run

pytestmark = pytest.mark.spark

CONFTEST = """
from pytest_isolated_emr.spark.no_sessions import NoSessionsRuntime

RUNTIME = NoSessionsRuntime("emr-7.10.0")
RUNTIME.install()

def pytest_unconfigure():
    import pyspark.sql
    original = pyspark.sql.SparkSession.Builder.getOrCreate
    RUNTIME.uninstall()
    assert pyspark.sql.SparkSession.Builder.getOrCreate is not original
    print("uninstalled")
"""

SUITE = r"""
import pytest
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
from pyspark.sql.types import LongType, StructField, StructType

from pytest_isolated_emr import errors

SCHEMA = StructType([StructField("id", LongType())])

@udf(LongType())
def plus_one(x):
    return x + 1

def test_without_spark():
    assert plus_one.func(1) == 2
    assert SCHEMA.names == ["id"]

@pytest.mark.parametrize("ask", [
    lambda: SparkSession.builder.appName("job").enableHiveSupport().getOrCreate(),
    lambda: SparkContext(conf=SparkConf().setMaster("local[1]")),
    lambda: SparkContext.getOrCreate(),
])
def test_asks_for_spark(ask):
    with pytest.raises(errors.NoConnectSessions, match=r"(?s)IE611.*emr-7\.10\.0.*emr-spark-8\.0\.0.*run_step.*local"):
        ask()
    assert SparkSession.getActiveSession() is None
"""


def test_a_release_without_sessions(project, run_pytest: Run) -> None:
    (project / "conftest.py").write_text(CONFTEST)
    (project / "test_it.py").write_text(SUITE)
    finished = run_pytest("-p", "no:spark")
    finished.assert_passed(4)
    assert "uninstalled" in finished.output
