"""PySpark's daemon, which forks Python workers, with PySpark as it is installed and compiled.

Spark puts a zip of PySpark's sources first on the path of its workers, and Python compiles anew, in each daemon, what it
imports from there: some 0.4 s before the first row. Here PySpark is imported from the directory that the zip was made of,
where there is one; the path stays as it is.

The job's own Python runs it, whatever its version and packages: standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

_PY4J_ZIP = re.compile(r"py4j-(.+)-src\.zip")


def _import_installed() -> None:
    for name, directory in _packages():
        spec = importlib.util.find_spec(name)
        if spec is None or ".zip" + os.sep not in (spec.origin or ""):
            # The job's own comes first, from its directory say.
            continue
        package = importlib.util.spec_from_file_location(
            name, directory / "__init__.py", submodule_search_locations=[str(directory)]
        )
        assert package is not None
        assert package.loader is not None
        module = importlib.util.module_from_spec(package)
        sys.modules[name] = module
        package.loader.exec_module(module)


def _packages() -> Iterator[tuple[str, Path]]:
    """Yield the packages that are in zips on the path, and as directories beside Spark."""
    home = Path(os.environ.get("SPARK_HOME", "/"))
    # As pip installs PySpark, the package is Spark's home; Spark's own distribution has it in a directory.
    place = home.parent if home.name == "pyspark" else home / "python"
    for zipped in map(Path, sys.path):
        py4j = _PY4J_ZIP.fullmatch(zipped.name)
        if py4j and (place / f"py4j-{py4j[1]}.dist-info").is_dir():
            yield "py4j", place / "py4j"
        elif (
            zipped == home / "python" / "lib" / "pyspark.zip" and (place / "pyspark" / "daemon.py").is_file()
        ):
            yield "pyspark", place / "pyspark"


if __name__ == "__main__":
    # PySpark imports py4j: that first, whatever the path's order.
    _import_installed()
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)
