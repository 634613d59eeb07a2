"""The first job in a JVM that was started ahead: it does what test runs do first, and takes away all of it.

Run as ``python -m pytest_isolated_emr.spark.warm_up DIRECTORY``, with a gateway's port and secret and the session's AWS in
the environment.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import boto3
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pytest_isolated_emr.spark.properties import LISTENERS
from pytest_isolated_emr.spark.training_job import use

# A file system that Spark has once had for a bucket, it would have again, with the settings of now.
_BUCKET = "isolated-emr-warm-up"


def warm_up(directory: Path) -> None:
    """Use what most suites use, and leave the JVM as new.

    :param directory: for files, which are removed.
    """
    files = directory / "warm-up"
    spark = _without_hooks(SparkSession.builder).getOrCreate()
    use(spark.newSession(), files)
    use_aws(spark.newSession())
    jvm: Any = spark._jvm
    spark.stop()
    jvm.isolatedemr.StartedAhead.forget()
    shutil.rmtree(files, ignore_errors=True)


def _without_hooks(builder: Any) -> Any:
    """Return a builder of a session of which nobody hears: the user's listeners, plugins and logs are for tests, and
    tables made here are none of the user's warehouse."""
    for name in LISTENERS:
        builder = builder.config(name, "")
    return (
        builder.config("spark.eventLog.enabled", "false")
        .config("spark.sql.warehouse.dir", str(Path("warehouse").absolute()))
        .config("spark.sql.defaultCatalog", "spark_catalog")
    )


def use_aws(spark: SparkSession) -> None:
    """Use the session's AWS, by Spark and by boto3, and leave nothing there.

    :param spark: a session.
    """
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=_BUCKET)
    path = f"s3://{_BUCKET}/numbers"
    spark.range(10).withColumn("half", F.col("id") / 2).write.parquet(path)
    spark.read.parquet(path).where("id > 3").collect()
    objects = s3.list_objects_v2(Bucket=_BUCKET).get("Contents", [])
    s3.delete_objects(Bucket=_BUCKET, Delete={"Objects": [{"Key": each["Key"]} for each in objects]})
    s3.delete_bucket(Bucket=_BUCKET)
    boto3.client("sts").get_caller_identity()
    boto3.client("emr").list_clusters()


if __name__ == "__main__":
    warm_up(Path(sys.argv[1]))
