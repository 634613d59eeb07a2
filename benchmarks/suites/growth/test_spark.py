"""Tests that each ask Spark something small, with a view of their own."""

import os

import pytest


@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
def test_a_query(spark, number):
    spark.range(10).createOrReplaceTempView("numbers")
    assert spark.sql("SELECT max(id) FROM numbers").first()[0] == 9
