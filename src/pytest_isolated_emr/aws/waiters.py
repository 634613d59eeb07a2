"""Waiters of boto3 that look every second, where its own wait half a minute for states that are reached in one.

botocore reads them from the directory that ``data_path`` names (botocore's ``loaders`` module); boto3 itself stays as it
is.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

#: Services whose waiters wait for what is quick here.
_SERVICES = ("emr",)
_DELAY_SECONDS = 1


def write_quick_waiters(directory: Path) -> None:
    """Write the installed botocore's own waiters with a shorter delay; each gives up after as long as before.

    :param directory: what ``data_path`` names.
    """
    found = importlib.util.find_spec("botocore")
    assert found is not None
    assert found.origin is not None
    data = Path(found.origin).parent / "data"
    for service in _SERVICES:
        for path in sorted((data / service).glob("*/waiters-2.json")):
            described = json.loads(path.read_text(encoding="utf-8"))
            for waiter in described["waiters"].values():
                waiter["maxAttempts"] *= max(1, waiter["delay"] // _DELAY_SECONDS)
                waiter["delay"] = _DELAY_SECONDS
            target = directory / path.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(described), encoding="utf-8")
