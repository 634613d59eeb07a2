import unittest

import boto3
import pytest
from botocore.exceptions import ClientError
from inventory import load, save
from moto import mock_aws


@mock_aws
def test_decorated():
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="inventory")
    save("screws", 5)
    assert load("screws") == 5


@mock_aws(config={"core": {"mock_credentials": True, "reset_boto3_session": True}})
def test_decorated_with_config():
    table = boto3.resource("dynamodb", region_name="eu-central-1").create_table(
        TableName="stock",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.put_item(Item={"name": "nails", "count": 3})
    assert table.get_item(Key={"name": "nails"})["Item"]["count"] == 3


@pytest.mark.parametrize("count", [1, 2])
@mock_aws
def test_decorated_and_parametrized(count):
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="inventory")
    save("screws", count)
    assert load("screws") == count


def test_context_managers_forget():
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="inventory")
        save("a", 1)
    with mock_aws(), pytest.raises(ClientError, match="NoSuchBucket"):
        load("a")


def test_started_and_stopped():
    mock = mock_aws()
    mock.start()
    try:
        assert boto3.client("s3", region_name="us-east-1").list_buckets()["Buckets"] == []
    finally:
        mock.stop()


def test_mock_that_fails_leaves_no_mock():
    with pytest.raises(RuntimeError), mock_aws():
        raise RuntimeError("inside")


@mock_aws
class TestClass:
    def setup_method(self, method):
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket="inventory")

    def test_one(self):
        save("x", 1)
        assert load("x") == 1

    def test_other(self):
        assert "Contents" not in self.s3.list_objects_v2(Bucket="inventory")


@mock_aws
class TestUnittest(unittest.TestCase):
    def setUp(self):
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="inventory")

    def test_it(self):
        save("y", 2)
        self.assertEqual(load("y"), 2)


def test_boto3_after_the_mocks(s3):
    s3.create_bucket(Bucket="after")
    boto3.client("s3").put_object(Bucket="after", Key="k", Body=b"v")
    assert s3.get_object(Bucket="after", Key="k")["Body"].read() == b"v"
