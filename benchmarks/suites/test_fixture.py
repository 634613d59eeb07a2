import pytest


@pytest.mark.parametrize("number", range(201))
def test_spark_is_asked_for(spark, number):
    pass
