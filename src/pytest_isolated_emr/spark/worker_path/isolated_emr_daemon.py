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
from pathlib import Path

_PY4J_ZIP = re.compile(r"py4j-(.+)-src\.zip")


def _import_installed() -> None:
    home = Path(os.environ.get("SPARK_HOME", "/"))
    # As pip installs PySpark, the package is Spark's home; Spark's own distribution has it in a directory.
    place = home.parent if home.name == "pyspark" else home / "python"
    names = [Path(entry).name for entry in sys.path if Path(entry).parent == home / "python" / "lib"]
    versions = [match[1] for match in map(_PY4J_ZIP.fullmatch, names) if match]
    # PySpark imports py4j.
    if any((place / f"py4j-{version}.dist-info").is_dir() for version in versions):
        _import_from(place / "py4j")
    if "pyspark.zip" in names and (place / "pyspark" / "daemon.py").is_file():
        _import_from(place / "pyspark")


def _import_from(directory: Path) -> None:
    """Import a package from a directory, unless the job's own comes first on the path, from its directory say."""
    name = directory.name
    found = importlib.util.find_spec(name)
    if found is None or ".zip" + os.sep not in (found.origin or ""):
        return
    spec = importlib.util.spec_from_file_location(
        name, directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    _import_installed()
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)
