"""The figures of rounds, for the page in the docs."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.plan import DOCKER, USUAL
from tests.chaos.record import Record

_BEGIN = "<!-- From here on written by: python -m tests.chaos.campaign -->"
_END = "<!-- To here. -->"


def write_docs(page: Path, record: Record) -> None:
    """Write the figures between their marks on a page.

    :param page: the page.
    :param record: what came of rounds.
    """
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    text = "\n".join([_BEGIN, "", *_tables(record.rows), "", _END])
    page.write_text(f"{before}{text}{after}")


def _tables(rows: Sequence[dict[str, Any]]) -> list[str]:
    kinds = Counter(row["kind"] for row in rows)
    lines = [
        *_table(
            ["rounds", "runs", "violations"],
            [
                [f"{kind}: {count}", _sum(rows, kind, "runs"), _violations(rows, kind)]
                for kind, count in kinds.items()
            ],
        ),
        "",
        *_table(["what befell them", "times"], _faults(rows)),
        "",
        *_table(["until nothing was left, in seconds", "runs", "median", "95 of 100", "max"], _cleans(rows)),
    ]
    return lines


def _sum(rows: Sequence[dict[str, Any]], kind: str, what: str) -> str:
    return str(sum(row[what] for row in rows if row["kind"] == kind))


def _violations(rows: Sequence[dict[str, Any]], kind: str) -> str:
    return str(sum(len(row["violations"]) for row in rows if row["kind"] == kind))


def _faults(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    counted: Counter[str] = Counter()
    for row in rows:
        for each in row["strikes"]:
            counted[each["what"] + (f", {each['role']}" if each["role"] != "file" else "")] += 1
        if row["surroundings"] != USUAL:
            counted[row["surroundings"]] += 1
        counted["two sweeps at once"] += 1
        counted["kill -9, sweep"] += row["sweeps_killed"]
    return [[what, str(count)] for what, count in sorted(counted.items())]


def _cleans(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    times: dict[str, list[float]] = {}
    for row in rows:
        where = "docker" if row["kind"] == DOCKER else "local"
        for clean in row["cleans"]:
            how = "inert, the rest swept" if clean["swept"] else clean["what"]
            times.setdefault(f"{where}: {how}", []).append(clean["seconds"])
    return [
        [
            what,
            str(len(found)),
            *(f"{value:.2f}" for value in (statistics.median(found), _quantile(found), max(found))),
        ]
        for what, found in sorted(times.items())
    ]


def _quantile(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"| --- {'| ---: ' * (len(head) - 1)}|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
