"""Python workers and PySpark itself start sooner, and see and say what they did."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

pytestmark = pytest.mark.spark

SEEN_BY_A_WORKER = """
import json, sys
from pyspark.sql.functions import udf

def seen():
    import pyspark, py4j, subprocess
    path = subprocess.run([sys.executable, "-c", "import json, sys; print(json.dumps(sys.path[1:]))"], capture_output=True, text=True)
    return json.dumps({
        "pyspark": pyspark.__file__,
        "py4j": py4j.__file__,
        "path": sys.path,
        "path of a child": json.loads(path.stdout),
        "main": sys.modules["__main__"].__name__,
        "arguments": sys.orig_argv[2:],
    })

def test_it(spark):
    print("SEEN", spark.range(1).select(udf(seen)()).first()[0])
"""


def seen_by_a_worker(project, run_pytest, *arguments):
    (project / "test_it.py").write_text(SEEN_BY_A_WORKER)
    finished = run_pytest("--isolated-emr", "-s", *arguments)
    finished.assert_passed(1)
    return json.loads(finished.output.partition("SEEN ")[2].splitlines()[0])


def test_workers_have_pyspark_as_it_is_installed(project, run_pytest, on_machine):
    ours = seen_by_a_worker(project, run_pytest, *on_machine)
    assert ours["arguments"][0] == "isolated_emr_daemon"
    assert ".zip" not in ours["pyspark"]
    (project / "conftest.py").write_text(
        """
def pytest_isolated_emr_spark_conf(conf):
    conf["spark.python.daemon.module"] = "pyspark.daemon"
"""
    )
    theirs = seen_by_a_worker(project, run_pytest, *on_machine)
    assert theirs["arguments"][0] == "pyspark.daemon"
    assert ours["arguments"][1:] == theirs["arguments"][1:]
    assert ".zip" in theirs["pyspark"]
    # The directory of the session, and so that of its files, has another name.
    for name in ("path", "path of a child"):
        ours[name], theirs[name] = (
            [entry for entry in each[name] if "userFiles" not in entry] for each in (ours, theirs)
        )
    different = {"arguments", "pyspark"}
    if f"py4j-{version('py4j')}-src.zip" in theirs["py4j"]:
        # Else the installed one is not PySpark's, and stays out of the way.
        assert ".zip" not in ours["py4j"]
        different.add("py4j")
    assert {name for name in ours if ours[name] != theirs[name]} == different


def test_a_module_of_the_project_hides_the_installed_one_as_before(project, run_pytest):
    """A worker looks in its JVM's directory first."""
    (project / "py4j").mkdir()
    (project / "py4j" / "__init__.py").write_text("raise ImportError('py4j is the project\\'s own')")
    (project / "test_it.py").write_text(
        """
import os
from pyspark.sql.functions import udf

def test_it(spark):
    spark.range(1).select(udf(os.getcwd)()).first()
"""
    )
    finished = run_pytest("--isolated-emr", "--import-mode=importlib")
    assert finished.code != 0
    assert "py4j is the project's own" in finished.output


def test_pandas_is_imported_when_it_is_used(project, run_pytest):
    (project / "test_it.py").write_text(
        """
import sys
import pytest

import pyspark

# PySpark 3.5 itself imports NumPy.
PACKAGES = {"pandas", "pyarrow"} | ({"numpy"} if pyspark.__version__ >= "4" else set())

def rows():
    import pandas
    yield from pandas.DataFrame({"id": [1, 2]}).itertuples(index=False)

def test_without(spark):
    assert spark.createDataFrame([(1, "a")], ["id", "name"]).collect() == [(1, "a")]
    assert not PACKAGES & sys.modules.keys()

def test_by_a_generator(spark):
    assert spark.createDataFrame(rows(), schema="id long").count() == 2

def test_with(spark):
    import numpy, pandas
    assert spark.createDataFrame(pandas.DataFrame({"id": [1, 2]})).columns == ["id"]
    assert spark.createDataFrame(numpy.array([[1, 2], [3, 4]]), ["a", "b"]).count() == 2

def test_wrong_data_is_pysparks_error(spark):
    from pyspark.errors import PySparkTypeError
    with pytest.raises(PySparkTypeError):
        spark.createDataFrame(spark.range(1))
    assert spark.createDataFrame.__doc__.startswith("\\n        Creates a :class:`DataFrame`")
"""
    )
    run_pytest("--isolated-emr").assert_passed(4)


def test_a_path_that_is_set_later_hides_no_daemon(project, run_pytest):
    (project / "later").mkdir()
    (project / "later" / "of_later.py").write_text("VALUE = 42\n")
    (project / "test_it.py").write_text(
        """
import pathlib
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

def value():
    import of_later
    return str(of_later.VALUE)

def test_it():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(pathlib.Path("later").absolute()))
        spark = SparkSession.builder.getOrCreate()
        assert spark.range(1).select(udf(value)()).first()[0] == "42"
"""
    )
    run_pytest("--isolated-emr").assert_passed(1)


def test_what_took_the_place_of_createdataframe_stays(project, run_pytest):
    (project / "conftest.py").write_text(
        """
from pyspark.sql.session import SparkSession

class Counting:
    def __init__(self, function):
        self.function, self.calls = function, 0
    def __get__(self, session, owner):
        if session is None:
            return self
        self.calls += 1
        return self.function.__get__(session, owner)

SparkSession.createDataFrame = Counting(SparkSession.createDataFrame)
"""
    )
    (project / "test_it.py").write_text(
        """
from pyspark.sql.session import SparkSession

def test_it(spark):
    assert spark.createDataFrame([(1,)], ["id"]).count() == 1
    assert SparkSession.createDataFrame.calls == 1
"""
    )
    run_pytest("--isolated-emr").assert_passed(1)
