"""Spares PySpark the import of pandas, numpy and pyarrow where it only asks whether a value is theirs: half a second of
every run. A suite that uses them imports them all the same.

``createDataFrame`` asks it of its data. PySpark 4 asks it of each argument of a call to the JVM, and for that imports its
module for tests, which imports pandas and pyarrow to see their versions.

Drivers of steps have it too, in whatever Python they run: it imports nothing but the standard library and PySpark.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FunctionType, ModuleType
from typing import Any

_PACKAGES = ("pandas", "numpy", "pyarrow")


def install(replace: Callable[[Any, str, object], None]) -> None:
    """Have PySpark know what it asks for without them.

    :param replace: sets an attribute of an object for as long as this shall hold.
    """
    session: Any = importlib.import_module("pyspark.sql.session")
    create = session.SparkSession.createDataFrame
    # What somebody has put in its place stays.
    if type(create) is FunctionType and "pandas" in create.__code__.co_names:
        replace(session.SparkSession, "createDataFrame", _without_imports(create, vars(session)))
    if importlib.util.find_spec("pyspark.core") is None:
        # pyspark 3.5 does not ask it of arguments.
        return
    checks: Any = importlib.import_module("pyspark.sql.pandas.utils")
    names = {package: f"require_minimum_{package}_version" for package in ("pandas", "pyarrow")}
    by_metadata = {name: _by_metadata(package, getattr(checks, name)) for package, name in names.items()}
    # What is wrong with them, PySpark says where it uses them.
    with _replaced(vars(checks), by_metadata), suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("pyspark.testing.utils")
    types: Any = importlib.import_module("pyspark.sql.types")
    for converter in (types.NumpyScalarConverter, types.NumpyArrayConverter):
        replace(converter, "can_convert", _if_imported(converter.can_convert))


def _without_imports(function: FunctionType, names: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that does the same, but for its own imports of what is not imported yet: these fail, as where it is
    not installed. No other code's do.

    :param function: the function, which goes on then.
    :param names: of its module.
    """

    def import_(name: str, *rest: Any) -> Any:
        if name in _PACKAGES and name not in sys.modules:
            raise ImportError(f"{name} is not imported yet, so nothing of it is in use")
        return builtins.__import__(name, *rest)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        here = {**names, "__builtins__": {**vars(builtins), "__import__": import_}}
        same = FunctionType(
            function.__code__, here, function.__name__, function.__defaults__, function.__closure__
        )
        same.__kwdefaults__ = function.__kwdefaults__
        return same(*args, **kwargs)

    return call


def _by_metadata(package: str, check: Callable[[], None]) -> Callable[[], None]:
    """Return PySpark's check of a package's version, which sees no more of the package than that."""

    def require() -> None:
        stand_ins = {}
        if package not in sys.modules:
            with suppress(importlib.metadata.PackageNotFoundError):
                version = importlib.metadata.version(package)
                stand_ins[package] = ModuleType(package)
                stand_ins[package].__dict__["__version__"] = version
        with _replaced(sys.modules, stand_ins):
            check()

    return require


@contextmanager
def _replaced(mapping: dict[str, Any], values: dict[str, Any]) -> Iterator[None]:
    """Have other values for some keys in a mapping, and then what was there before."""
    before = {key: mapping[key] for key in values if key in mapping}
    mapping.update(values)
    try:
        yield
    finally:
        for key in values:
            del mapping[key]
        mapping.update(before)


def _if_imported(can_convert: Callable[[Any, object], bool]) -> Callable[[Any, object], bool]:
    def is_numpys(converter: Any, value: object) -> bool:
        # Before its import there are no values of its types.
        return "numpy" in sys.modules and can_convert(converter, value)

    return is_numpys
