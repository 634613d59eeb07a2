"""What the figures are to be at least, as ratios in one run, and whether they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A bound on a figure.

    :param what: the figure.
    :param bound: the bound itself.
    :param at_least: whether the figure has to be at least as high; else it has to be at most as high.
    :param unit: of the figure, ``x`` for a ratio.
    """

    what: str
    bound: float
    at_least: bool = False
    unit: str = "x"

    def row(self, values: Sequence[float]) -> list[str]:
        """Return the cells of a table: the figure, the bound, what was measured, and whether it is met.

        :param values: what was measured; empty where nothing was.
        """
        bound = f"at {'least' if self.at_least else 'most'} {self.bound:g}{self.unit}"
        if not values:
            return [self.what, bound, "", "not measured"]
        median = statistics.median(values)
        met = median >= self.bound if self.at_least else median <= self.bound
        digits = 1 if self.bound >= 1 else 2
        spread = f"{median:.{digits}f}{self.unit} ({min(values):.{digits}f}-{max(values):.{digits}f})"
        return [self.what, bound, spread, "met" if met else "not met"]


FIRST_ARCHIVE = Bar("time to the first result of one test, with archive, by pytest-spark's", 0.5)
FIRST_WARM = Bar("time to the first result of one test, warm, by pytest-spark's", 0.12)
TEN_WARM = Bar("ten tests in all, warm, by pytest-spark's", 0.35)
TEN_STEPS = Bar("ten EMR steps in a row by ten spark-submits", 0.4)
JARS = Bar("first fetch of jars", 20, unit=" MB")
SMALL_REQUESTS = Bar("small S3 requests a second, 8 clients, by stock moto's", 3, at_least=True)
RANGES = Bar("1 MB ranges of a 256 MB object, 8 clients, by stock moto's", 40, at_least=True)
TOGETHER = Bar("16 sessions at once, by the same 16 in turn", 1.3)
LOST = Bar("16 sessions at once: failed, or killed for memory", 0, unit="")
ADMISSION = Bar("admission, where there is room", 10, unit=" ms")
LEFT_FILES = Bar("100,000 files left in a test's scratch: its end to pytest's exit", 2, unit=" s")
LEFT_OBJECTS = Bar("100,000 objects left in a test's scratch: its end to pytest's exit", 2, unit=" s")
CONTAINER = Bar("container's first query, with archive, by docker run's", 0.8)
CONTAINER_SPARE = Bar("container's first query, with a spare, by docker run's", 0.15)
