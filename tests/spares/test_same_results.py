"""Suites have the same results by a spare: the tests of others' files once more, each run claiming one.

`make test-all` runs all of those files so.
"""

from __future__ import annotations

import pytest

# Tests by these names: pytest runs them here, with this file's mark.
from tests.end_to_end.test_spark_isolation import (
    test_a_jvm_that_dies_fails_its_test_and_the_next_gets_a_new_one,
    test_hard_coded_settings_do_not_lead_out_and_the_summary_says_so,
    test_what_a_test_leaves_the_next_does_not_see,
)

__all__ = [
    "test_a_jvm_that_dies_fails_its_test_and_the_next_gets_a_new_one",
    "test_hard_coded_settings_do_not_lead_out_and_the_summary_says_so",
    "test_what_a_test_leaves_the_next_does_not_see",
]

pytestmark = [pytest.mark.spark, pytest.mark.by_spare]
