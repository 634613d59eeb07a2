"""How a run is started on each backend."""

from __future__ import annotations

from importlib.metadata import version

from tests.amazon import ON_AMAZON
from tests.engine import IMAGE

BACKENDS = {
    "local": ("--isolated-emr",),
    "docker": ("--isolated-emr", "--isolated-emr-backend=docker", f"--isolated-emr-image={IMAGE}"),
    "emr": ON_AMAZON,
}
#: Those with a Spark for tests: EMR's sessions came with Spark 4.
WITH_SPARK = [name for name in BACKENDS if name != "emr" or not version("pyspark").startswith("3.")]
