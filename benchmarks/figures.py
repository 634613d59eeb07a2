"""Lists of figures as text: the median with the range, and ratios of the same round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median and the range.

    :param values: at least one.
    :param digits: after the point.
    """
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ratios(values: Sequence[float], peers: Sequence[float]) -> list[float]:
    """Return each figure by the peer's of the same round.

    :param values: ours, in the order of the rounds.
    :param peers: theirs.
    """
    return [value / peer for value, peer in zip(values, peers, strict=True)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown.

    :param head: the titles of the columns.
    :param rows: the cells.
    """
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
