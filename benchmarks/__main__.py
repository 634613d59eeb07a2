"""``make bench``: all parts of the bench, or one; writes ``benchmarks/results.json``, ``docs/benchmarks.md`` and the plot."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import homes, report, results
from benchmarks.parts import PARTS, USUAL, Bench
from benchmarks.runs import remove_projects


def main() -> None:
    """Run the parts, each of whose figures are in the file once it has ended, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often whole runs are repeated")
    parser.add_argument(
        "--part", choices=PARTS, action="append", help="which parts to run; most of them by default"
    )
    parser.add_argument(
        "--page", action="store_true", help="write the page of the figures that there are, run nothing"
    )
    options = parser.parse_args()
    if not options.page:
        # Sockets are in it, whose paths must be short.
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            place = Path(directory)
            bench = Bench(homes.prepare(place), options.rounds, place)
            try:
                for name in options.part or USUAL:
                    print(f"-- {name}", flush=True)
                    results.save(name, PARTS[name](bench))
            finally:
                remove_projects()
    report.write(results.load())


if __name__ == "__main__":
    main()
