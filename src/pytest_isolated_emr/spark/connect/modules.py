"""The suite's own modules for Python workers that are elsewhere: those that they find there, and those that are sent."""

from __future__ import annotations

import importlib
import os
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_isolated_emr.backends.base import VisibleFiles

#: What is no code of a project's own, wherever it lies: installed packages, and what tools keep.
_NOT_OURS = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})

#: More than this of Python code is no module path of a suite's, in bytes.
_MOST_CODE = 20_000_000


class SuiteModules:
    """Sees to it that functions of the suite's run in Python workers.

    :param directory: a directory for what is sent.
    :param note: takes what the user should read in the summary.
    :param python_files: files and directories that workers get beside those of the module path, as they are.
    """

    def __init__(
        self, directory: Path, note: Callable[[str], None], python_files: Sequence[str] = ()
    ) -> None:
        self._directory = directory
        self._note = note
        self._python_files = [Path(path) for path in python_files]
        #: Directories and files that are sent, or too large for it.
        self._looked_at: set[Path] = set()
        self._sent: list[Path] = []
        self._by_value: list[ModuleType] = []

    def send_by_value(self, modules: Iterable[ModuleType]) -> None:
        """Have functions that are defined in modules of tests sent as they are: workers need not import pytest, say.

        :param modules: those of the collected tests.
        """
        for module in modules:
            if module not in self._by_value:
                _cloudpickle().register_pickle_by_value(module)
                self._by_value.append(module)

    def look_at_path(self, files: VisibleFiles, path_file: Path | None) -> None:
        """Have workers look where this process does.

        :param files: what they see.
        :param path_file: a file that they read, with one directory a line; None if they read none of this machine's.
        """
        seen = [*files.read_only, *files.writable] if path_file is not None else []
        of_suite = [path for path in files.python_path if path.is_dir()]
        if path_file is not None:
            path_file.write_text("".join(f"{path}\n" for path in of_suite if _is_below(path, seen)), "utf-8")
        unseen = [path for path in of_suite if not _is_below(path, seen)]
        cure = (
            "put it on the path before the tests are collected (ini setting pythonpath)"
            if path_file is not None
            else "name what of it they need in the ini setting isolated_emr_pyfiles"
        )
        self._take_over(unseen, cure)

    def _take_over(self, path: Sequence[Path], cure: str) -> None:
        """Have what is new of the module path, and the user's own choice, sent: one archive, as each costs a call."""
        packed: dict[Path, Path] = {}
        for directory in [*path, *self._python_files]:
            if directory in self._looked_at:
                continue
            self._looked_at.add(directory)
            if directory.is_file():
                self._sent.append(directory)
                continue
            chosen = directory in self._python_files
            files = list(_files_below(directory))
            # Data that lies beside the code may be large, and is not wanted in workers as a rule.
            files = files if chosen else [file for file in files if file.suffix == ".py"]
            if not chosen and sum(file.stat().st_size for file in files) > _MOST_CODE:
                self._note(
                    f"{directory}: not sent to Spark's Python workers, more than {_MOST_CODE // 10**6} MB of code; {cure}"
                )
                continue
            # A package is imported by its name, what is in another directory by its own.
            root = directory.parent if chosen and (directory / "__init__.py").is_file() else directory
            for file in files:
                # As on the path, the first one wins.
                packed.setdefault(file.relative_to(root), file)
        if packed:
            self._sent.append(self._pack(packed))

    def send_to(self, session: Any) -> None:
        """Send a session what its workers do not see. Servers keep it for each session apart, so each one gets it.

        :param session: of Spark Connect, new.
        """
        if not self._sent:
            return
        path = sys.path[:]
        try:
            session.addArtifacts(*map(str, self._sent), pyfile=True)
        finally:
            # PySpark puts archives there for this process too, which has the files themselves.
            sys.path[:] = path

    def forget(self) -> None:
        """Leave PySpark as it was."""
        for module in self._by_value:
            _cloudpickle().unregister_pickle_by_value(module)
        self._by_value.clear()

    def _pack(self, files: dict[Path, Path]) -> Path:
        archive = self._directory / f"modules-{len(self._sent)}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as target:
            for name, file in files.items():
                target.write(file, name)
        return archive


def _files_below(directory: Path) -> Iterator[Path]:
    """Return the files of a project's own: no virtual environment, no installed packages, nothing hidden."""
    for where, below, names in os.walk(directory):
        here = Path(where)
        below[:] = sorted(
            name
            for name in below
            if not (name.startswith(".") or name in _NOT_OURS or (here / name / "pyvenv.cfg").is_file())
        )
        yield from (here / name for name in sorted(names) if (here / name).is_file())


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
