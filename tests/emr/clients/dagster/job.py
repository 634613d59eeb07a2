"""The part of an asset that runs on EMR."""

import sys

import boto3
from dagster_pipes import PipesS3MessageWriter, open_dagster_pipes
from pyspark.sql import SparkSession

with open_dagster_pipes(message_writer=PipesS3MessageWriter(client=boto3.client("s3"))) as pipes:
    spark = SparkSession.builder.appName("squares").getOrCreate()
    squares = spark.range(int(pipes.get_extra("numbers"))).selectExpr("id", "id * id AS square")
    squares.write.mode("overwrite").parquet(sys.argv[1])
    pipes.log.info("squares are written")
    pipes.report_asset_materialization(metadata={"rows": squares.count()})
