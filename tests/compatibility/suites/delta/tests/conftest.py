import boto3
import pytest
from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark():
    builder = (
        SparkSession.builder.master("local[2]")
        .appName("delta-tests")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    )
    spark = configure_spark_with_delta_pip(builder).getOrCreate()
    yield spark
    spark.stop()


@pytest.fixture(scope="session", params=["local", "s3"])
def root(request, tmp_path_factory):
    if request.param == "local":
        return str(tmp_path_factory.mktemp("delta"))
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="delta-lake")
    return "s3a://delta-lake"
