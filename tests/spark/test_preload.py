"""Classes are loaded ahead while there is no archive of them, and what the JVM was started for is not changed by it."""

from __future__ import annotations

import subprocess

import pytest

from pytest_isolated_emr.spark import preload

LOADS_AHEAD = """
import time

def test_it(spark):
    jvm = spark._jvm
    assert jvm.System.getProperty("sun.java.command").startswith("isolatedemr.PreloadedMain ")
    with open(jvm.System.getProperty("isolatedemr.preload")) as file:
        names = file.read().split()
    assert len(names) > 5000
    loaded = jvm.java.lang.management.ManagementFactory.getClassLoadingMXBean()
    deadline = time.monotonic() + 120
    # This test alone needs less than half of them.
    while loaded.getLoadedClassCount() < 0.9 * len(names):
        assert time.monotonic() < deadline, loaded.getLoadedClassCount()
        time.sleep(0.05)
"""

SHARES_A_CORE = """
def test_it(spark):
    assert spark.sparkContext.master == "local[1]"
    assert "Preloaded" not in spark._jvm.System.getProperty("sun.java.command")
"""


@pytest.mark.usefixtures("own_cache")
@pytest.mark.spark
def test_a_jvm_without_an_archive_loads_classes_ahead(project, run_pytest):
    (project / "test_it.py").write_text(LOADS_AHEAD)
    (project / "conftest.py").write_text(
        "def pytest_isolated_emr_spark_conf(conf):\n    conf['spark.master'] = 'local[2]'\n"
    )
    run_pytest("--isolated-emr").assert_passed(1)


@pytest.mark.usefixtures("own_cache")
def test_a_jvm_with_one_core_loads_none_ahead(project, run_pytest):
    (project / "test_it.py").write_text(SHARES_A_CORE)
    (project / "conftest.py").write_text(
        "def pytest_isolated_emr_spark_conf(conf):\n    conf['spark.master'] = 'local[1]'\n"
    )
    run_pytest("--isolated-emr").assert_passed(1)


def run_preloaded(installation, java, s3_set, tmp_path, *arguments):
    names = tmp_path / "names"
    names.write_text("org.apache.spark.sql.Row\nno.such.Class\n")
    class_path = f"{s3_set.directory}/*:{installation.jars_dir}/*"
    option = f"-Disolatedemr.preload={names}"
    command = [str(java.executable), "-cp", class_path, option, preload.MAIN_CLASS, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_main_class_gets_its_own_arguments(installation, java, s3_set, tmp_path):
    done = run_preloaded(
        installation, java, s3_set, tmp_path, "org.apache.spark.deploy.SparkSubmit", "--version"
    )
    assert done.returncode == 0, done.stderr
    assert installation.version in done.stderr


def test_what_the_main_class_throws_is_told_as_without_us(installation, java, s3_set, tmp_path):
    missing = str(tmp_path / "Missing.java")
    done = run_preloaded(
        installation, java, s3_set, tmp_path, "org.codehaus.janino.SimpleCompiler", missing, "Missing"
    )
    assert done.returncode == 1
    assert 'Exception in thread "main" java.io.FileNotFoundException' in done.stderr
    assert "InvocationTargetException" not in done.stderr
