"""Suites have the same results by a spare: a test of another file once more, whose run claims one.

`make test-all` runs all of that file so, and other suites.
"""

from __future__ import annotations

import pytest

from tests.conftest import UNDER_ONE_SPARK

# Tests by these names: pytest runs them here, with this file's mark.
from tests.end_to_end.test_spark_isolation import (
    test_what_a_test_leaves_the_next_does_not_see,
)

__all__ = [
    "test_what_a_test_leaves_the_next_does_not_see",
]

pytestmark = [pytest.mark.spark, pytest.mark.by_spare, UNDER_ONE_SPARK]
