import boto3
from pyspark.sql import SparkSession
from settings import ACCESS_KEY, ENDPOINT, PROFILE, SECRET_KEY


def session():
    return (
        SparkSession.builder.appName("ingest")
        .config("spark.hadoop.fs.s3a.endpoint", ENDPOINT)
        .config("spark.hadoop.fs.s3a.access.key", ACCESS_KEY)
        .config("spark.hadoop.fs.s3a.secret.key", SECRET_KEY)
        .config("spark.hadoop.fs.s3a.path.style.access", "false")
        .config("spark.hadoop.fs.s3a.connection.ssl.enabled", "true")
        .config("spark.hadoop.fs.s3a.bucket.acme-prod-raw.endpoint", ENDPOINT)
        .getOrCreate()
    )


def point_at(spark, endpoint, access_key, secret_key):
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    hadoop.set("fs.s3a.endpoint", endpoint)
    hadoop.set("fs.s3a.access.key", access_key)
    hadoop.set("fs.s3a.secret.key", secret_key)
    hadoop.set("fs.s3a.aws.credentials.provider", "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider")
    # Without it the file system of before would be used again.
    hadoop.set("fs.s3a.impl.disable.cache", "true")


def boto_session():
    return boto3.Session(profile_name=PROFILE)
