"""``python -m benchmarks.growth``: a short form, to see that the part works; prints its section, and writes nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks import homes
from benchmarks.growth import part
from benchmarks.growth.section import growth_bars, growth_section
from benchmarks.modes import ARCHIVE, modes_of
from benchmarks.runs import remove_projects


def main() -> None:
    """Run all of it once, of small sizes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        place = Path(directory)
        mode = next(mode for mode in modes_of(homes.prepare(place)) if mode.name == ARCHIVE)
        try:
            measured = part.measure(mode, 1, place / "queue", part.TRIAL)
        finally:
            remove_projects()
    # As the file of figures has them.
    found = json.loads(json.dumps(measured))
    print(*growth_section(found), *map(str, growth_bars(found)), sep="\n")


if __name__ == "__main__":
    main()
