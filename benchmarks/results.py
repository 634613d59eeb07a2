"""The file of all figures, by part: a part that is measured again takes the place of its old figures alone."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results.json"
ABOUT = "about"


def about() -> dict[str, str]:
    """Return what the figures depend on: the machine and the versions."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("pyspark", "pytest", "pytest-spark", "pytest-xdist", "moto")},
    }


def load() -> dict[str, Any]:
    """Return the figures of this machine and these versions; those of others do not go with them."""
    found: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found if found.get(ABOUT) == about() else {ABOUT: about()}


def save(part: str, figures: Any) -> dict[str, Any]:
    """Put a part's figures into the file, and return all.

    :param part: the part's name.
    :param figures: as JSON has them.
    """
    everything = load() | {part: figures}
    FILE.write_text(json.dumps(everything, indent=1) + "\n")
    return everything
