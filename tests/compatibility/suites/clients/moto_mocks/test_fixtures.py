import boto3
import pytest
from botocore.exceptions import ClientError
from inventory import announce, load, save
from moto import mock_aws


def test_save_and_load(bucket):
    save("screws", 12)
    assert load("screws") == 12


def test_nothing_of_the_test_before(bucket, mocked_s3):
    assert "Contents" not in mocked_s3.list_objects_v2(Bucket="inventory")
    assert [each["Name"] for each in mocked_s3.list_buckets()["Buckets"]] == ["inventory"]


def test_without_bucket(mocked_aws):
    with pytest.raises(ClientError, match="NoSuchBucket"):
        save("screws", 12)


def test_queue(mocked_aws):
    sqs = boto3.client("sqs", region_name="us-east-1")
    url = sqs.create_queue(QueueName="changes")["QueueUrl"]
    announce(url, "nails")
    assert "queue.amazonaws.com" in url or "sqs.us-east-1.amazonaws.com" in url
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "nails"


def test_account(mocked_aws):
    assert boto3.client("sts", region_name="us-east-1").get_caller_identity()["Account"] == "123456789012"


def test_nested(bucket, mocked_s3):
    save("bolts", 1)
    with mock_aws():
        save("nuts", 2)
        with mock_aws():
            assert load("bolts") == 1
    assert load("nuts") == 2


def test_beside_the_private_s3(s3, bucket, mocked_s3):
    s3.create_bucket(Bucket="not-a-mock")
    s3.put_object(Bucket="not-a-mock", Key="k", Body=b"private")
    save("k", 3)
    assert [each["Name"] for each in mocked_s3.list_buckets()["Buckets"]] == ["inventory"]
    assert "inventory" not in [each["Name"] for each in s3.list_buckets()["Buckets"]]


def test_the_private_s3_outlives_mocks(s3):
    assert s3.get_object(Bucket="not-a-mock", Key="k")["Body"].read() == b"private"
