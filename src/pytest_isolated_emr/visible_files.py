"""What the Spark of a container sees of this machine: the project, the run's own directories, and nothing else."""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.backends.base import VisibleFiles
from pytest_isolated_emr.session import Session

#: Directories of the Filesystem Hierarchy Standard that an image has as well.
_SYSTEM = (
    *(
        "/",
        "/bin",
        "/etc",
        "/home",
        "/lib",
        "/lib64",
        "/opt",
        "/run",
        "/sbin",
        "/srv",
        "/tmp",
        "/usr",
        "/usr/bin",
    ),
    *(
        "/usr/lib",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/sbin",
        "/var",
        "/var/lib",
        "/var/tmp",
    ),
)


def visible_files(config: pytest.Config, session: Session, jar_cache: Path) -> VisibleFiles:
    """Return what the Spark of this process sees.

    :param config: pytest's.
    :param session: the session.
    :param jar_cache: the directory with the jars that Spark needs.
    """
    modules = suite_path()
    projects = [path for path in (config.rootpath, config.invocation_params.dir) if _is_projects(path)]
    return VisibleFiles(
        # What is inside of another is seen with it.
        read_only=(*_outermost([*projects, *modules]), jar_cache, session.worker_directory / "aws"),
        writable=(session.directory / "scratch", session.worker_directory, *_temporary_directories(config)),
        python_path=tuple(modules),
        packages=tuple(installed_packages()),
    )


def suite_path() -> list[Path]:
    """Return the directories in which Python looks for modules that are the project's own, in this order."""
    hidden = [*installed_packages(), *_standard_library()]
    return [path for path in _existing(sys.path) if _is_projects(path) and not _is_below(path, hidden)]


def _is_projects(path: Path) -> bool:
    """Tell whether a directory may be a project's: never the home directory, nor what is above it or of the system.

    Python looks in the directory of the program that it runs, which may be ``/usr/bin``; and pytest may be run from anywhere.
    """
    system = [Path(sysconfig.get_path("scripts")), *map(Path, _SYSTEM)]
    return path not in system and not Path.home().is_relative_to(path)


def installed_packages() -> list[Path]:
    """Return the directories of the packages that are installed for this Python."""
    found = [*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    return [path for path in dict.fromkeys(_existing(found)) if path.is_dir()]


def _standard_library() -> list[Path]:
    return [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]


def _temporary_directories(config: pytest.Config) -> list[Path]:
    """Return the directory of ``tmp_path``, so that what a test writes there Spark reads, and the other way round."""
    factory: Any = getattr(config, "_tmp_path_factory", None)
    if factory is None:
        # Without pytest's plugin for it there is none.
        return []
    own: Path = factory.getbasetemp()
    # An xdist worker has it in that of the whole run, which is there before the worker is.
    return [own.parent if hasattr(config, "workerinput") else own]


def _existing(paths: Iterable[str]) -> list[Path]:
    return [path for path in dict.fromkeys(Path(path or ".").absolute() for path in paths) if path.exists()]


def _outermost(paths: Iterable[Path]) -> list[Path]:
    different = list(dict.fromkeys(paths))
    return [
        path for path in different if not _is_below(path, [other for other in different if other != path])
    ]


def _is_below(path: Path, directories: Iterable[Path]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)
