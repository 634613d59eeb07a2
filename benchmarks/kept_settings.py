"""What the page says of settings: what those of a session gain, and what was tried and is not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.figures import spread, table
from benchmarks.runs import TOTAL
from benchmarks.spark_settings import AGAIN, PROCESSOR, TAKEN_BACK, TRIED, Variant

EXPLANATION = """\
The ten tests and two that write to `s3://`, as whole processes with an archive, with one change each, in turns. Figures are ratios to
the mean of the runs without the change just before and after: of seconds in all, and of seconds of processors, which other work on the machine disturbs
less. A change that names another suite is measured on that."""

NOISE = """\
The same run once more, with no change, gives {} in all and {} of processors: what is closer to 1 than that is no gain. `MetaspaceSize`
is near that; by the JVM's log of its collector, it spares two full collections of 0.1 s each."""


def settings_section(found: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Return the section's lines.

    :param found: ratios by change and figure.
    """
    again = found[AGAIN]
    return [
        "## Settings of Spark and Java",
        "",
        EXPLANATION,
        "",
        NOISE.format(spread(again[TOTAL]), spread(again[PROCESSOR])),
        "",
        "What a session has of its own, where the user chose nothing else, and what happens without it:",
        "",
        *table(
            ["a session's", "instead of it", "in all", "processors"],
            [[f"`{each.takes_back}`", *_cells(each, found)] for each in TAKEN_BACK if each.name in found],
        ),
        "",
        "What was tried, and is not kept:",
        "",
        *table(
            ["change", "in all", "processors", "why not"],
            [[*_cells(each, found), each.why_not] for each in TRIED if each.name in found],
        ),
    ]


def _cells(variant: Variant, found: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    return [variant.name, *(spread(found[variant.name][key]) for key in (TOTAL, PROCESSOR))]
