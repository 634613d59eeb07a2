import argparse

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

parser = argparse.ArgumentParser()
parser.add_argument("--source", required=True)
parser.add_argument("--target", required=True)
args = parser.parse_args()

spark = SparkSession.builder.appName("totals").getOrCreate()
sales = spark.read.csv(args.source, header=True, inferSchema=True)
sales.groupBy("shop").agg(F.sum("amount").alias("total")).coalesce(1).write.mode("overwrite").json(
    args.target
)
