"""What a stream keeps between its batches, as many parts of it as there are shuffle partitions: no plan makes them fewer."""

from pyspark.sql.functions import col


def test_a_stream_that_counts(spark_session, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    for number in range(2):
        spark_session.range(100).write.mode("append").json(str(source))
        query = (
            spark_session.readStream.schema("id bigint")
            .json(str(source))
            .groupBy((col("id") % 7).alias("part"))
            .count()
            .writeStream.outputMode("complete")
            .format("memory")
            .queryName(f"counted_{number}")
            .trigger(availableNow=True)
            .option("checkpointLocation", str(target))
            .start()
        )
        query.awaitTermination()
        assert spark_session.table(f"counted_{number}").selectExpr("sum(count)").first()[0] == 100 * (
            number + 1
        )
