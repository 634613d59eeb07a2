"""What came of rounds, kept in a file, a line for each."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from tests.chaos.one_round import Result
from tests.chaos.plan import Round


class Record:
    """What came of all rounds so far.

    :param path: the file; None to keep nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[tuple[str, int], dict[str, Any]] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self._rows[row["kind"], row["seed"]] = row

    def has(self, round_: Round) -> bool:
        """Tell whether a round is in it, without a violation."""
        row = self._rows.get((round_.kind, round_.seed))
        return row is not None and not row["violations"] and row["plan"] == _digest(round_)

    def add(self, result: Result) -> None:
        """Keep what came of a round."""
        row = {
            "kind": result.round.kind,
            "seed": result.round.seed,
            "plan": _digest(result.round),
            "runs": len(result.round.runs),
            "surroundings": result.round.surroundings,
            "strikes": [{"what": each.fault.what, "role": each.role} for each in result.strikes],
            "sweeps_killed": len(result.round.killed_sweeps),
            "cleans": [{**vars(each), "seconds": round(each.seconds, 2)} for each in result.cleans],
            "violations": result.violations,
            "seconds": round(result.seconds, 1),
        }
        self._rows[result.round.kind, result.round.seed] = row
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rounds, the newest try of each."""
        return list(self._rows.values())


def _digest(round_: Round) -> str:
    """Return what differs where a seed's round is no longer the same."""
    return f"{zlib.crc32(str(round_).encode()):08x}"
