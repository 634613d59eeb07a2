from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def latest_per_customer(events: DataFrame) -> DataFrame:
    window = Window.partitionBy("customer_id").orderBy(F.col("ts").desc())
    return events.withColumn("rank", F.row_number().over(window)).where("rank = 1").drop("rank")


def with_full_name(customers: DataFrame) -> DataFrame:
    return customers.withColumn("full_name", F.concat_ws(" ", F.trim("first"), F.trim("last")))


def normalise_amounts(orders: DataFrame) -> DataFrame:
    return orders.withColumn(
        "share", F.col("amount") / F.sum("amount").over(Window.partitionBy("customer_id"))
    )


def save_snapshot(frame: DataFrame, path: str) -> None:
    frame.repartition(1).write.mode("overwrite").option("header", True).csv(path)
