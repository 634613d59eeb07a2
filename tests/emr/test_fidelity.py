"""No row of the tables beside Amazon's EMR, and beside `local`, is without a test, and each test that a row names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
#: Names of tests, and of classes of them, by file; suites and clients' projects among them, which may share a name.
TESTS: dict[str, set[str]] = {}
for path in HERE.parent.rglob("test_*.py"):
    found = re.findall(r"^ *(?:def (test_\w+)\(|class (Test\w+)[(:])", path.read_text(encoding="utf-8"), re.M)
    TESTS.setdefault(path.name, set()).update("".join(names) for names in found)


def rows_with_tests(page: str) -> list[tuple[str, str]]:
    """Return what each row is about, and its last cell, of the tables of a page that have tests."""
    rows: list[tuple[str, str]] = []
    header: list[str] = []
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        # In a cell, the bar of a pattern is written `\|`.
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells or not header:
            header = cells
        elif header[-1] == "Test" and set(cells[0]) != {"-"}:
            rows.append((cells[0], cells[-1]))
    return rows


ROWS = [
    pytest.param(row, id=f"{page}: {row[0]}")
    for page in ("docker.md", "emr-fidelity.md", "emr-programs.md")
    for row in rows_with_tests(page)
]


def test_there_are_rows():
    assert len(ROWS) > 100


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_tests_that_exist(row: tuple[str, str]):
    _what, cell = row
    named = re.findall(r"`([^`]+)`", cell)
    assert named or "the same" in cell
    file = None
    for name in named:
        place, *tests = name.rpartition("/")[2].split("::")
        if not place.endswith(".py"):
            # Of the file before it, or of the one that the table is about.
            place, tests = file, [place, *tests]
        file = place
        known = TESTS[file] if file else set().union(*TESTS.values())
        assert set(tests) <= known, name
