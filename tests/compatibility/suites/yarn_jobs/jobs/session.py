from pyspark.sql import SparkSession


def get_spark(name):
    return (
        SparkSession.builder.master("yarn")
        .appName(name)
        .config("spark.submit.deployMode", "client")
        .config("spark.executor.memory", "4g")
        .config("spark.dynamicAllocation.enabled", "true")
        .config("spark.sql.sources.partitionOverwriteMode", "dynamic")
        .config("spark.hadoop.hive.metastore.uris", "thrift://metastore.internal:9083")
        .enableHiveSupport()
        .getOrCreate()
    )
