"""Python imports this module as it starts (https://docs.python.org/3/library/site.html): when a step's code imports
PySpark, it leaves out what would lead out of the session.

Every Python of a cluster's commands runs this, whatever its version and packages: hence nothing but the standard library
until PySpark is imported.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Its import would be the greater part of what this costs every Python.
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any

_HERE = __file__.rpartition(os.sep)[0]
#: The modules of PySpark, in 3.5 and 4, and what is done to each.
_PATCHES = {
    "pyspark.context": "patch_context",
    "pyspark.core.context": "patch_context",
    "pyspark.sql.session": "patch_session",
}


class _PatchingFinder:
    """Finds those modules where they are, and has them patched as they are loaded."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _PATCHES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _PatchingLoader(spec.loader, _PATCHES[name])  # type: ignore[assignment]
        return spec


class _PatchingLoader:
    """Loads a module by its own loader, whose place it takes for that moment."""

    def __init__(self, loader: Any, patch: str) -> None:
        self._loader, self._patch = loader, patch

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        # Spark 4 keeps a module of the old name, which has nothing of its own.
        if module.__name__ != "pyspark.context" or module.SparkContext.__module__ == module.__name__:
            _patch(self._patch)(module)


def _patch(name: str) -> Callable[[Any], None]:
    # This package is not on the path of every Python that a step may run.
    sys.path.append(_HERE.rsplit(os.sep, 3)[0])
    try:
        from pytest_isolated_emr.emr.driver import patches
    finally:
        sys.path.pop()
    found: Callable[[Any], None] = getattr(patches, name)
    return found


def _run_the_hidden_one() -> None:
    """Run the machine's own module of this name, which would be found without this one."""
    path = [entry for entry in sys.path if entry != _HERE]
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        sys.modules["sitecustomize"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


sys.meta_path.insert(0, _PatchingFinder)
_run_the_hidden_one()
