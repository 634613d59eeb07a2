import boto3
import pytest


@pytest.fixture(scope="module")
def lake():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="duck-lake")
    return "s3://duck-lake"
