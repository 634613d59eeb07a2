"""A user without rights: who runs what is about them, and whose things are somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

#: The user whom Unix gives to those who own nothing.
NOBODY = 65534

#: Before a command, has that user run it, with a cache of its own. It may read everything, so that it finds Python and this project wherever they are.
AS_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
    "env",
    "ISOLATED_EMR_CACHE=",
)


def give_away(path: Path) -> None:
    """Make a file, or a directory with all that is in it, another user's."""
    for each in (path, *path.rglob("*")):
        os.chown(each, NOBODY, NOBODY, follow_symlinks=False)
