"""The plot of the suites: seconds to the first result and in all, by way, with the range."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from benchmarks.modes import ARCHIVE, COLD, PEER, WARM
from benchmarks.runs import FIRST, TOTAL
from benchmarks.suites import Figures

_COLOURS = {PEER: "#8a8f98", COLD: "#9ecae1", ARCHIVE: "#4292c6", WARM: "#08519c"}


def draw(found: Mapping[str, Figures], path: Path) -> None:
    """Draw one panel for each suite.

    :param found: seconds by suite, way and figure.
    :param path: where the SVG goes.
    """
    # Text as text, and the same file for the same figures.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif"})
    figure = Figure(figsize=(9, 1.7 * len(found)), layout="constrained")
    panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for panel, (suite, ways) in zip(panels, found.items(), strict=True):
        measured = {name: seconds for name, seconds in ways.items() if seconds}
        for row, (name, seconds) in enumerate(measured.items()):
            total, first = seconds[TOTAL], seconds[FIRST]
            middle = statistics.median(total)
            error = [[middle - min(total)], [max(total) - middle]]
            panel.barh(row, middle, color=_COLOURS[name], xerr=error, ecolor="#333", capsize=3)
            panel.plot([statistics.median(first)] * 2, [row - 0.4, row + 0.4], color="white", linewidth=2)
        panel.set_yticks(range(len(measured)), list(measured))
        panel.invert_yaxis()
        panel.set_title(suite, loc="left", fontsize=10)
        panel.set_xlim(left=0)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    panels[-1].set_xlabel("seconds as a whole process, median and range; the white line: first result")
    figure.savefig(path, metadata={"Date": None})
