import pytest
from chispa import (
    DataFramesNotEqualError,
    assert_approx_df_equality,
    assert_column_equality,
    assert_df_equality,
)
from etl.customers import latest_per_customer, normalise_amounts, save_snapshot, with_full_name


def test_session_is_as_configured(spark):
    assert spark.sparkContext.appName == "customers-unit-tests"
    assert spark.sparkContext.master == "local[2]"
    assert spark.conf.get("spark.sql.shuffle.partitions") == "2"


def test_latest_per_customer(spark):
    events = spark.createDataFrame(
        [(1, "2024-01-01", "new"), (1, "2024-02-01", "active"), (2, "2024-01-15", "new")],
        ["customer_id", "ts", "state"],
    )
    expected = spark.createDataFrame(
        [(1, "2024-02-01", "active"), (2, "2024-01-15", "new")], ["customer_id", "ts", "state"]
    )
    assert_df_equality(latest_per_customer(events), expected, ignore_row_order=True, ignore_nullable=True)


def test_full_name_column(spark):
    frame = spark.createDataFrame(
        [(" Ada", "Lovelace ", "Ada Lovelace"), ("Grace", None, "Grace"), (None, None, "")],
        "first string, last string, expected string",
    )
    assert_column_equality(with_full_name(frame), "full_name", "expected")


def test_shares(spark):
    orders = spark.createDataFrame([(1, 1.0), (1, 2.0), (2, 5.0)], ["customer_id", "amount"])
    expected = spark.createDataFrame(
        [(1, 1.0, 0.3333), (1, 2.0, 0.6667), (2, 5.0, 1.0)], ["customer_id", "amount", "share"]
    )
    assert_approx_df_equality(
        normalise_amounts(orders), expected, 0.001, ignore_row_order=True, ignore_nullable=True
    )


def test_a_difference_is_found(spark):
    one = spark.createDataFrame([(1,)], "id int")
    two = spark.createDataFrame([(2,)], "id int")
    with pytest.raises(DataFramesNotEqualError):
        assert_df_equality(one, two)


def test_snapshot(spark, tmp_path):
    frame = spark.createDataFrame([(1, "a"), (2, "b")], "id int, name string")
    save_snapshot(frame, str(tmp_path / "snapshot"))
    again = spark.read.csv(str(tmp_path / "snapshot"), header=True, schema="id int, name string")
    assert_df_equality(again, frame, ignore_row_order=True)
    assert len(list((tmp_path / "snapshot").glob("part-*.csv"))) == 1
