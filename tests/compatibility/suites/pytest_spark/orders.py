"""The orders mart: Hive tables that the reporting job reads."""

from pyspark.sql import functions as F


def build_mart(spark):
    spark.sql("CREATE DATABASE IF NOT EXISTS mart")
    totals = (
        spark.table("orders")
        .withColumn("day", F.to_date("ordered_at"))
        .groupBy("day", "country")
        .agg(F.sum("amount").alias("amount"))
    )
    totals.write.mode("overwrite").format("parquet").partitionBy("day").saveAsTable("mart.daily_totals")


def word_count(sc, lines):
    return dict(
        sc.parallelize(lines)
        .flatMap(str.split)
        .map(lambda word: (word, 1))
        .reduceByKey(lambda a, b: a + b)
        .collect()
    )
