import pytest


@pytest.mark.parametrize("number", range(9))
def test_counts(spark_session, number):
    frame = spark_session.range(1000).selectExpr("id", f"id % {number + 2} AS part")
    assert frame.groupBy("part").count().count() == number + 2


def test_parquet(spark_session, tmp_path):
    spark_session.range(1000).selectExpr("id", "id % 5 AS part").write.partitionBy("part").parquet(
        str(tmp_path / "out")
    )
    assert spark_session.read.parquet(str(tmp_path / "out")).where("part = 3").count() == 200
