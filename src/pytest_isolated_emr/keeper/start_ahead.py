"""Starting a spare: another keeper, which outlives the one that starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from pytest_isolated_emr.keeper.spare import LEAST_MEMORY
from pytest_isolated_emr.keeper.spare_order import SpareOrder
from pytest_isolated_emr.lifecycle.memory import available_memory
from pytest_isolated_emr.lifecycle.private_files import create_anew, read_private
from pytest_isolated_emr.lifecycle.spare_slot import SpareSlot
from pytest_isolated_emr.lifecycle.state_root import HOME_VARIABLE, StateRoot
from pytest_isolated_emr.spark.environment import holds_secret, is_of_jvm

#: In place of a descriptor, in the command line of a keeper that is a spare.
AHEAD = "ahead"

# What failed is not tried again after every run.
_SECONDS_UNTIL_NEXT_TRY = 3600.0

# It has the words of one failure.
_MOST_BYTES = 1 << 20

_REFUSED = "no spare keeps a secret"


def start_ahead(order: SpareOrder, root: StateRoot) -> None:
    """Start a spare, unless there is one, memory is short, or it failed within the last hour.

    :param order: what it is to be.
    :param root: the state root.
    :raises OSError: it cannot be started.
    :raises StateRootUnusable: the directory of spares may be another's.
    """
    root.check_spares()
    slot = SpareSlot(root, order.key)
    if available_memory() < order.memory() + LEAST_MEMORY or _has_failed(slot.log):
        return
    secrets = order.secrets()
    root.spares.mkdir(mode=0o700, exist_ok=True)
    with create_anew(slot.log) as log:
        if secrets:
            log.write(f"{_REFUSED}: {', '.join(secrets)}\n".encode())
            return
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest_isolated_emr.keeper", AHEAD],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={
                **{
                    name: value
                    for name, value in os.environ.items()
                    if is_of_jvm(name) and not holds_secret(name, value)
                },
                HOME_VARIABLE: str(root.path),
            },
        )
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(order.to_json())


def _has_failed(log: Path) -> bool:
    """Tell whether it failed, and not long ago. One that was ended before it was ready has said nothing."""
    try:
        age = time.time() - log.lstat().st_mtime
        text = read_private(log, _MOST_BYTES).decode(errors="replace")
    except OSError:
        # There is none, or it is no spare's.
        return False
    return age < _SECONDS_UNTIL_NEXT_TRY and bool(text) and not text.startswith(_REFUSED)
