"""Spark in a container as suites use it: sessions apart, the suite's own functions, settings, what Connect does not have."""

from __future__ import annotations

import shutil

import pytest

from tests.backends import BACKENDS
from tests.conftest import UNDER_ONE_SPARK

pytestmark = pytest.mark.spark

ON_DOCKER = BACKENDS["docker"]

NOT_THERE = """
import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

@pytest.mark.parametrize("what", [
    lambda spark: spark.sparkContext,
    lambda spark: spark._jvm,
    lambda spark: spark.range(2).rdd,
    lambda spark: SparkContext.getOrCreate(),
])
def test_it_says_so(spark, what):
    with pytest.raises(AttributeError, match="IE510: .*--isolated-emr-backend=local") as caught:
        what(spark)
    assert "does not exist over Spark Connect" in str(caught.value)

def test_libraries_can_ask(spark):
    assert not isinstance(spark, SparkSession)
    assert not hasattr(spark, "sparkContext")
    assert not hasattr(spark.range(2), "rdd")
"""


def test_what_connect_does_not_have(project, run_pytest):
    (project / "test_it.py").write_text(NOT_THERE.replace('match="IE510: .*--', 'match="(?s)IE510: .*--'))
    run_pytest(*ON_DOCKER).assert_passed(5)


MODULES = """
from pyspark.sql.functions import col, udf
from pyspark.sql.types import LongType
import elsewhere, installed, near, pytest

# Both are made while this is imported: a column, and a function whose type is in words.
TEN_TIMES = col("id") * 10

@udf("long")
def plus_one(x):
    return x + 1

def own(x):
    return x + 100

@pytest.mark.parametrize(("function", "expected"), [
    (installed.twice, 2), (elsewhere.thrice, 3), (near.plus_ten, 11), (own, 101),
])
def test_functions_of_every_module(spark, function, expected):
    for sent in (function, lambda x: function(x)):
        assert spark.range(1, 2).select(udf(sent, LongType())("id")).collect()[0][0] == expected

def test_what_was_made_at_import(spark):
    assert spark.range(1, 2).select(TEN_TIMES, plus_one("id")).collect()[0] == (10, 2)
"""


def test_the_suites_own_modules_reach_workers(project, tmp_path, run_pytest):
    for directory in ("src", "tests/deep"):
        (project / directory).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    with (project / "pytest.ini").open("a") as ini:
        ini.write("pythonpath = src\n")
    (project / "src" / "installed.py").write_text("def twice(x): return 2 * x\n")
    (tmp_path / "elsewhere" / "elsewhere.py").write_text("def thrice(x): return 3 * x\n")
    (project / "tests" / "deep" / "near.py").write_text("def plus_ten(x): return x + 10\n")
    # Found after Spark was started, and outside of the project.
    (project / "tests" / "deep" / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path / 'elsewhere')!r})\n"
    )
    (project / "tests" / "deep" / "test_it.py").write_text(MODULES)
    run_pytest(*ON_DOCKER).assert_passed(5)


SETTINGS = """
import os, subprocess, sys
import pytest
from pyspark.sql import SparkSession

@pytest.fixture(scope="session")
def own(request):
    builder = SparkSession.builder.master("yarn").enableHiveSupport()
    builder = builder.config("spark.sql.session.timeZone", "Asia/Tokyo").config("spark.my.setting", "mine")
    return builder.config("spark.hadoop.fs.s3a.endpoint", "https://s3.amazonaws.com").getOrCreate()

def test_the_first_session_decides(own):
    assert own.conf.get("spark.sql.catalogImplementation") == "hive"
    assert own.conf.get("spark.my.setting") == "mine"
    assert own.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"

def test_as_it_does_without_connect(own, spark):
    assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"

def test_a_later_one_does_not(own):
    again = SparkSession.builder.config("spark.my.setting", "other").getOrCreate()
    assert again is own
    assert own.conf.get("spark.my.setting") == "mine"

def test_a_process_of_its_own_shares_the_server(own):
    code = "from pyspark.sql import SparkSession; print(SparkSession.builder.getOrCreate().range(3).count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "3", done.stderr

class Job:
    # It keeps its session.
    session = None

    def run(self):
        Job.session = Job.session or SparkSession.builder.getOrCreate()
        return Job.session

def test_a_session_that_a_job_keeps(spark):
    assert Job().run() is spark

def test_is_stopped_with_its_test(spark):
    assert Job().run().is_stopped

def test_another_server_is_not_reached():
    from pyspark.sql.connect.session import SparkSession as Remote
    for builder in (SparkSession.builder, Remote.builder):
        assert builder.remote("sc://production:15002").getOrCreate().range(2).count() == 2
"""


@UNDER_ONE_SPARK
def test_settings_of_the_suite(project, run_pytest):
    (project / "test_it.py").write_text(SETTINGS)
    finished = run_pytest(*ON_DOCKER, "-p", "no:spark")
    finished.assert_passed(7)
    for words in (
        "spark.hadoop.fs.s3a.endpoint: set by the suite, left out",
        "spark.remote: set by the suite, left out",
        "spark.my.setting: ignored by a Spark that runs already",
    ):
        assert words in finished.output, finished.output


@pytest.mark.thorough
def test_a_run_without_pytests_tmp_path(project, run_pytest):
    (project / "test_it.py").write_text("def test_it(spark): assert spark.range(2).count() == 2\n")
    run_pytest(*ON_DOCKER, "-p", "no:tmpdir").assert_passed(1)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.thorough
def test_a_machine_without_java(project, home, run_pytest, tmp_path):
    (project / "test_it.py").write_text(
        "def test_it(spark, scratch):\n"
        "    spark.range(3).write.parquet(scratch.uri)\n"
        "    assert spark.read.parquet(scratch.uri).count() == 3\n"
    )
    # What is compiled has to be compiled again, by the Java of the image.
    for made in (home / "jars").glob("connect-*[0-9a-f]"):
        shutil.rmtree(made)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    finished = run_pytest(*ON_DOCKER, PATH=str(tmp_path / "bin"), JAVA_HOME="")
    finished.assert_passed(1)
    assert "compiling" in finished.output
    assert list((home / "jars").glob("connect-*[0-9a-f]"))


@UNDER_ONE_SPARK
def test_pytest_spark(project, run_pytest):
    with (project / "pytest.ini").open("a") as ini:
        ini.write("spark_options =\n    spark.sql.session.timeZone: Asia/Tokyo\n")
    (project / "test_it.py").write_text(
        "def test_it(spark_session):\n"
        "    assert spark_session.range(3).count() == 3\n"
        "    assert spark_session.conf.get('spark.sql.session.timeZone') == 'Asia/Tokyo'\n"
        "    assert spark_session.conf.get('spark.sql.catalogImplementation') == 'in-memory'\n"
    )
    run_pytest(*ON_DOCKER).assert_passed(1)


FILES = """
import os, stat, subprocess, tempfile
from pathlib import Path
from pyspark.sql.functions import udf

def test_temporary_files_are_seen(spark):
    with tempfile.TemporaryDirectory() as directory:
        spark.range(3).write.csv(f"{directory}/written")
        assert list(Path(directory, "written").glob("*.csv"))
        Path(directory, "read.txt").write_text("a\\nb\\n")
        assert spark.read.text(f"{directory}/read.txt").count() == 2

def test_writes_a_file_in_the_project():
    Path("new.txt").write_text("a\\nb\\n")

def test_the_next_test_reads_it(spark):
    assert spark.read.text("new.txt").count() == 2

def test_what_is_put_into_tmp_can_be_run(spark):
    def run(_number):
        script = Path("/tmp/script.sh")
        script.write_text("#!/bin/sh\\necho ran\\n")
        script.chmod(0o700)
        return subprocess.run([str(script)], capture_output=True, text=True).stdout
    assert spark.range(1).select(udf(run, "string")("id")).collect()[0][0] == "ran\\n"

def test_writing_to_the_first_process_does_no_harm(spark):
    def shout(_number):
        with open("/proc/1/fd/1", "w") as file:
            file.write("not JSON\\n")
        return 1
    assert spark.range(1).select(udf(shout, "int")("id")).collect()[0][0] == 1

def test_it_goes_on(spark):
    assert spark.range(2).count() == 2
"""


@UNDER_ONE_SPARK
def test_files(project, run_pytest):
    (project / "test_it.py").write_text(FILES)
    run_pytest(*ON_DOCKER).assert_passed(6)


@pytest.mark.thorough
def test_from_the_home_directory(project, tmp_path, start_pytest, run_pytest):
    """Pytest is run from the home directory, where files are that are none of the suite's."""
    with (project / "pytest.ini").open("a") as ini:
        ini.write("pythonpath = .\n")
    (tmp_path / "secret").write_text("secret")
    (project / "test_it.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from pyspark.sql.functions import udf\n"
        "def test_it(spark):\n"
        "    os.chdir(Path.home())\n"
        "    path = str(Path.home() / 'secret')\n"
        "    assert Path(path).exists()\n"
        "    seen = udf(lambda _: str(Path(path).exists()), 'string')\n"
        "    assert spark.range(1).select(seen('id')).collect()[0][0] == 'False'\n"
    )
    run_pytest(*ON_DOCKER, "--rootdir", str(project), HOME=str(tmp_path)).assert_passed(1)
