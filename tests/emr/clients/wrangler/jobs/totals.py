import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

source, target = sys.argv[1:3]
spark = SparkSession.builder.appName("totals").enableHiveSupport().getOrCreate()
orders = spark.read.parquet(source)
orders.groupBy("country").agg(F.sum("amount").alias("total")).write.mode("overwrite").parquet(target)
print("orders:", orders.count())
