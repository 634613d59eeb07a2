"""An image that brings a Spark of its own, as those of Apache and of EMR do: that one runs, not the installed one."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import BACKENDS
from tests.conftest import UNDER_ONE_SPARK
from tests.engine import IMAGE, engine

pytestmark = [pytest.mark.spark, UNDER_ONE_SPARK]

SUITE = """
import docker
import os

JOB = '''
import sys
import pyspark
from pyspark.sql import SparkSession
SparkSession.builder.getOrCreate().range(5).write.parquet(sys.argv[1])
print("pyspark is", pyspark.__file__)
'''

def processes(isolated_emr):
    label = f"isolated-emr.run-id={isolated_emr.run_id}"
    (container, *_) = docker.from_env().containers.list(filters={"label": label})
    return container.exec_run(["sh", "-c", "cat /proc/[0-9]*/cmdline"]).output.decode()

def test_the_tests_spark(spark, scratch, isolated_emr):
    spark.range(4).write.parquet(scratch.uri)
    assert spark.read.parquet(scratch.uri).count() == 4
    assert "/opt/spark/jars" in processes(isolated_emr)
    assert spark.conf.get("spark.of.image") == "yes"
    assert spark.conf.get("spark.sql.shuffle.partitions") == "1"

def test_a_step(run_step, scratch, s3):
    (scratch.path / "job.py").write_text(JOB)
    done = run_step("spark-submit", "--deploy-mode", "cluster", str(scratch.path / "job.py"), (scratch / "out").uri)
    assert "pyspark is /opt/spark/python" in done.stdout
    found = s3.list_objects_v2(Bucket=scratch.bucket, Prefix=f"{scratch.prefix}/out/")
    assert any(item["Key"].endswith(".parquet") for item in found["Contents"])
"""


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image of the tests with the installed Spark copied into it."""
    (home,) = importlib.util.find_spec("pyspark").submodule_search_locations or ()  # type: ignore[union-attr]
    name = f"isolated-emr-test-spark:{os.getpid()}"
    container = engine().containers.create(
        IMAGE,
        [
            "sh",
            "-c",
            "mkdir -p /opt/spark/conf && cp -r /mnt/jars /mnt/bin /mnt/python /opt/spark/ && "
            "printf 'spark.of.image yes\\nspark.sql.shuffle.partitions 7\\n' > /opt/spark/conf/spark-defaults.conf",
        ],
        volumes={home: {"bind": "/mnt", "mode": "ro"}},
        labels={"isolated-emr-test": ""},
    )
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0, container.logs()
        container.commit(*name.split(":"), changes="ENV SPARK_HOME=/opt/spark")
    finally:
        container.remove(force=True)
    yield name
    engine().images.remove(name, force=True)


@pytest.mark.thorough
def test_the_spark_of_the_image_runs(project: Path, run_pytest, image: str):
    (project / "test_it.py").write_text(SUITE)
    run_pytest(*BACKENDS["docker"][:-1], f"--isolated-emr-image={image}").assert_passed(2)


@pytest.mark.thorough
def test_another_version_than_the_clients(project: Path, run_pytest, image: str, tmp_path: Path):
    (project / "test_it.py").write_text("def test_it(spark): pass\n")
    name = f"{image}-other"
    container = engine().containers.create(
        image,
        ["sh", "-c", "cd /opt/spark/jars && mv spark-core_*.jar spark-core_2.13-2.4.8.jar"],
        labels={"isolated-emr-test": ""},
    )
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0, container.logs()
        container.commit(*name.split(":"))
    finally:
        container.remove(force=True)
    try:
        finished = run_pytest(*BACKENDS["docker"][:-1], f"--isolated-emr-image={name}")
    finally:
        engine().images.remove(name, force=True)
    assert finished.code == 75
    assert "IE507: The image has Spark 2.4.8" in finished.output, finished.output
