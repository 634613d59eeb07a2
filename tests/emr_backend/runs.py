"""What tests of runs on the emr backend share."""

from __future__ import annotations

import re
from importlib.metadata import version

from tests.amazon import BUCKET, Amazon
from tests.conftest import Finished

#: EMR's sessions came with Spark 4: what has no Spark holds under both.
HAS_SPARK = not version("pyspark").startswith("3.")
RUN_ID = re.compile(r"run (\d{8}t\d{6}-[0-9a-f]{6})")


def run_id_of(finished: Finished) -> str:
    found = RUN_ID.search(finished.output)
    assert found is not None, finished.output
    return found[1]


def state_of(amazon: Amazon) -> dict[str, str]:
    """What the bucket has, outside of runs."""
    pages = amazon.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {each["Key"]: each["ETag"] for page in pages for each in page.get("Contents", ())}
