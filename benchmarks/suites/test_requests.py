"""How many requests S3A makes for what jobs do to S3. It prints them, for the process that measures."""

import pytest


@pytest.fixture
def requests(spark, scratch):
    jvm = spark._jvm
    where = jvm.org.apache.hadoop.fs.Path(scratch.uri)
    statistics = where.getFileSystem(spark._jsc.hadoopConfiguration()).getIOStatistics()

    def count(what, act):
        before = statistics.counters().get("store_io_request")
        act()
        print(f"\nrequests: {what}: {statistics.counters().get('store_io_request') - before}")

    return count


def test_requests(spark, scratch, requests):
    rows = spark.range(1000).selectExpr("id", "id % 5 AS part").coalesce(1)
    flat, parts = f"{scratch.uri}/flat", f"{scratch.uri}/parts"
    requests("write parquet, one file", lambda: rows.write.parquet(flat))
    requests("overwrite it", lambda: rows.write.mode("overwrite").parquet(flat))
    requests("append to it", lambda: rows.write.mode("append").parquet(flat))
    requests("write parquet, five partitions", lambda: rows.write.partitionBy("part").parquet(parts))
    spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
    requests(
        "overwrite one of them dynamically",
        lambda: rows.where("part = 3").write.mode("overwrite").partitionBy("part").parquet(parts),
    )
    requests("read one of them", lambda: spark.read.parquet(parts).where("part = 3").count())
