"""What the programs of a cluster import besides this package: mounted beside it, where no job's Python looks.

An image with a Spark of its own gets none of the packages that are installed here, but ``spark-submit`` and the others
need these. They are Python alone, so that they fit the image's.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from pytest_isolated_emr.backends.docker.container import PACKAGE_ROOT

#: boto3 with what it needs, for S3; filelock for the cache of jars.
_LIBRARIES = ("boto3", "botocore", "dateutil", "filelock", "jmespath", "s3transfer", "six", "urllib3")


@cache
def program_libraries() -> dict[Path, str]:
    """Return the files and directories of this machine, and where a container has them."""
    found = {}
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        path = origin.parent if spec.submodule_search_locations else origin
        found[path] = f"{PACKAGE_ROOT}/{path.name}"
    return found
