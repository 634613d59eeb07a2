import argparse

from pyspark.sql import functions as F

from jobs.session import get_spark
from jobs.udfs import euros, host_of, split_tags, spread


def run(source, target, table):
    spark = get_spark("clicks")
    clicks = (
        spark.read.json(source)
        .withColumn("host", host_of("url"))
        .withColumn("tags", split_tags("tags"))
        .withColumn("price", euros("cents"))
    )
    clicks.write.mode("overwrite").partitionBy("day").parquet(target)
    spark.sql("CREATE DATABASE IF NOT EXISTS web")
    counts = clicks.groupBy("host").agg(F.count("*").alias("clicks"))
    per_host = counts.join(clicks.groupBy("host").agg(spread("price").alias("spread")), "host")
    per_host.write.mode("overwrite").saveAsTable(f"web.{table}")


def main(argv=None):
    parser = argparse.ArgumentParser()
    for name in ("source", "target", "table"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args(argv)
    run(arguments.source, arguments.target, arguments.table)


if __name__ == "__main__":
    main()
