from chispa import assert_df_equality


def test_views_and_sql(spark):
    spark.range(4).createOrReplaceTempView("ids")
    assert_df_equality(spark.sql("SELECT id FROM ids WHERE id > 2"), spark.range(3, 4), ignore_nullable=True)


def test_the_view_is_still_there(spark):
    # One session for all tests: an order that people rely on, for better or worse.
    assert spark.table("ids").count() == 4
