"""What Spark sees of the environment, in this process and in those that tests start."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def spark_variables(worker_directory: Path) -> dict[str, str]:
    """Return the variables that wire any Spark started from this process to the session.

    :param worker_directory: the directory of this process in the session.
    """
    return {
        # A job that a test starts with spark-submit finds the session's settings here.
        "SPARK_CONF_DIR": str(worker_directory / "conf"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        # Else the workers run whatever python3 comes first on PATH.
        "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable),
        "PYSPARK_DRIVER_PYTHON": os.environ.get("PYSPARK_DRIVER_PYTHON", sys.executable),
        # Read by the redirect of the AWS SDK inside JVMs.
        "ISOLATED_EMR_REDIRECT": "1",
    }
