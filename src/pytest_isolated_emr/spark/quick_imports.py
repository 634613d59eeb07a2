"""Spares PySpark 4 the import of pandas, numpy and pyarrow in its first call to the JVM: half a second of every run.

It asks there whether an argument is numpy's, and for that imports its module for tests, which imports pandas and pyarrow to
see their versions. A suite that uses them imports them all the same.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest


def install(patches: pytest.MonkeyPatch) -> None:
    """Have PySpark know what it asks for without them.

    :param patches: undoes it at the run's end.
    """
    if importlib.util.find_spec("pyspark.core") is None:
        # pyspark 3.5 does not do so.
        return
    checks: Any = importlib.import_module("pyspark.sql.pandas.utils")
    with pytest.MonkeyPatch.context() as patch:
        for package in ("pandas", "pyarrow"):
            name = f"require_minimum_{package}_version"
            patch.setattr(checks, name, _by_metadata(package, getattr(checks, name)))
        # What is wrong with them, PySpark says where it uses them.
        with suppress(ImportError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("pyspark.testing.utils")
    types: Any = importlib.import_module("pyspark.sql.types")
    for converter in (types.NumpyScalarConverter, types.NumpyArrayConverter):
        patches.setattr(converter, "can_convert", _if_imported(converter.can_convert))


def _by_metadata(package: str, check: Callable[[], None]) -> Callable[[], None]:
    """Return PySpark's check of a package's version, which sees no more of the package than that."""

    def require() -> None:
        with pytest.MonkeyPatch.context() as patch:
            if package not in sys.modules:
                with suppress(importlib.metadata.PackageNotFoundError):
                    stand_in = ModuleType(package)
                    stand_in.__dict__["__version__"] = importlib.metadata.version(package)
                    patch.setitem(sys.modules, package, stand_in)
            check()

    return require


def _if_imported(can_convert: Callable[[Any, object], bool]) -> Callable[[Any, object], bool]:
    def is_numpys(converter: Any, value: object) -> bool:
        # Before its import there are no values of its types.
        return "numpy" in sys.modules and can_convert(converter, value)

    return is_numpys
