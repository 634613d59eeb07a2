"""The suite's own modules for Python workers in a container: those that it can import there, and those that it cannot."""

from __future__ import annotations

import importlib
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_isolated_emr.backends.base import VisibleFiles

#: More than this of Python code is no module path of a suite's, in bytes.
_MOST_CODE = 20_000_000


class SuiteModules:
    """Sees to it that functions of the suite's run in Python workers.

    :param directory: a directory for what is sent.
    :param note: takes what the user should read in the summary.
    """

    def __init__(self, directory: Path, note: Callable[[str], None]) -> None:
        self._directory = directory
        self._note = note
        self._archives: dict[Path, Path] = {}
        self._by_value: list[ModuleType] = []

    def send_by_value(self, modules: Iterable[ModuleType]) -> None:
        """Have functions that are defined in modules of tests sent as they are: workers need not import pytest, say.

        :param modules: those of the collected tests.
        """
        for module in modules:
            if module not in self._by_value:
                _cloudpickle().register_pickle_by_value(module)
                self._by_value.append(module)

    def look_at_path(self, files: VisibleFiles, path_file: Path) -> None:
        """Have workers look where this process does.

        :param files: what they see.
        :param path_file: a file that they read, with one directory a line.
        """
        seen = [*files.read_only, *files.writable]
        of_suite = [path for path in files.python_path if path.is_dir()]
        path_file.write_text("".join(f"{path}\n" for path in of_suite if _is_below(path, seen)), "utf-8")
        for path in of_suite:
            if not _is_below(path, seen) and path not in self._archives:
                self._pack(path)

    def send_to(self, session: Any) -> None:
        """Send a session what its workers do not see.

        :param session: of Spark Connect, new.
        """
        for archive in self._archives.values():
            session.addArtifacts(str(archive), pyfile=True)

    def forget(self) -> None:
        """Leave PySpark as it was."""
        for module in self._by_value:
            _cloudpickle().unregister_pickle_by_value(module)
        self._by_value.clear()

    def _pack(self, path: Path) -> None:
        files = sorted(path.rglob("*.py"))
        if sum(file.stat().st_size for file in files) > _MOST_CODE:
            self._note(
                f"{path}: not sent to Spark's Python workers, more than {_MOST_CODE // 10**6} MB of code; "
                "put it on the path before the tests are collected (ini setting pythonpath)"
            )
            return
        archive = self._directory / f"modules-{len(self._archives)}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for file in files:
                target.write(file, file.relative_to(path))
        self._archives[path] = archive


def _cloudpickle() -> Any:
    return importlib.import_module("pyspark.cloudpickle")


def _is_below(path: Path, directories: Iterable[Path]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)


def modules_of(items: Iterable[Any]) -> list[ModuleType]:
    """Return the modules of tests, and the conftests that are loaded.

    :param items: pytest's.
    """
    modules = {item.module.__name__: item.module for item in items if hasattr(item, "module")}
    loaded = [module for module in list(sys.modules.values()) if _is_conftest(module)]
    return [*modules.values(), *loaded]


def _is_conftest(module: ModuleType) -> bool:
    return Path(getattr(module, "__file__", None) or "").name == "conftest.py"
