"""Python workers of a container import this as they start (https://docs.python.org/3/library/site.html): they find modules
where the client does, also where it looks since the container was started.

The image's own Python runs it, whatever its version and packages: standard library only.
"""

from __future__ import annotations

import os
import sys

_FILE = "ISOLATED_EMR_PYTHON_PATH_FILE"


def _add_paths_of_client() -> None:
    try:
        with open(os.environ[_FILE], encoding="utf-8") as file:
            paths = file.read().splitlines()
    except (KeyError, OSError):
        return
    sys.path.extend(path for path in paths if path not in sys.path)


def _run_the_hidden_one() -> None:
    """Run the image's own module of this name, which would be found without this one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = __file__.rpartition(os.sep)[0]
    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if path != here])
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


_add_paths_of_client()
_run_the_hidden_one()
