"""What the smallest suite is: one test that asks Spark something."""


def test_the_longest_word(spark_session):
    words = spark_session.createDataFrame([("a",), ("bcd",), ("ef",)], ["word"])
    assert words.selectExpr("max(length(word)) AS longest").first().longest == 3
