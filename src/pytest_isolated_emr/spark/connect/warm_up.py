"""The first job in a Spark Connect server that was started ahead: it does what test runs do first, and takes it away.

Run as ``python -m pytest_isolated_emr.spark.connect.warm_up URL DIRECTORY``, with the session's AWS in the environment. The
server has to be started with :data:`pytest_isolated_emr.spark.connect.CONTAINER_SETTINGS`.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pytest_isolated_emr.spark.connect.isolation import execute


def main(url: str, directory: Path) -> None:
    """Use what most suites use.

    :param url: the server's.
    :param directory: for files, which are removed; the server sees it too.
    """
    # `pyspark.sql.functions` are those of Spark Connect by it, from their import on.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    from pyspark.sql import SparkSession

    from pytest_isolated_emr.spark.training_job import use
    from pytest_isolated_emr.spark.warm_up import use_aws

    files = directory / "warm-up"
    spark = SparkSession.builder.remote(url).getOrCreate()
    use(spark, files)
    use_aws(spark)
    execute(spark.client, "forget", "")
    spark.stop()
    shutil.rmtree(files, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
