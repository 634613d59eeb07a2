"""What a JVM does in a training run: the first things of a test run, by way of PySpark.

Run as ``python -m pytest_isolated_emr.spark.training_job DIRECTORY``, with a gateway's port and secret in the
environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F


def use(spark: SparkSession, directory: Path) -> None:
    """Use what most suites use.

    :param spark: a session.
    :param directory: for files, which stay there.
    """
    left = spark.createDataFrame([(1, "a", 1.5), (2, "b", None)], ["id", "name", "value"])
    right = spark.range(10).selectExpr("id", "id % 3 AS part", "cast(id AS timestamp) AS at")
    joined = left.join(right, "id", "left").groupBy("part").agg(F.count("*"), F.sum("value"), F.max("at"))
    joined.orderBy("part").collect()
    right.withColumn("rank", F.row_number().over(Window.partitionBy("part").orderBy("id"))).collect()
    left.createOrReplaceTempView("left_view")
    spark.sql("SELECT upper(name), count(*) FROM left_view GROUP BY name HAVING count(*) > 0").collect()
    for kind in ("parquet", "csv", "json"):
        path = str(directory / kind)
        right.write.partitionBy("part").mode("overwrite").format(kind).save(path)
        spark.read.format(kind).load(path).where("part = 1").count()
    right.write.saveAsTable("trained")
    spark.sql("DROP TABLE trained")


if __name__ == "__main__":
    session = SparkSession.builder.getOrCreate().newSession()
    use(session, Path(sys.argv[1]))
    session.stop()
