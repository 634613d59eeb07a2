import os
import subprocess
import sys

import boto3
import pytest
from ingest import boto_session, point_at, session
from settings import ACCESS_KEY, BUCKET, ENDPOINT, SECRET_KEY

BUCKETS = [BUCKET, "acme-prod-raw"]

# Made when the module is imported, as many do.
s3 = boto3.client("s3")


@pytest.fixture(scope="module", autouse=True)
def buckets():
    client = boto_session().client("s3")
    for name in BUCKETS:
        client.create_bucket(Bucket=name)


@pytest.fixture(scope="module")
def spark():
    spark = session()
    yield spark
    spark.stop()


def keys(bucket, prefix):
    listed = boto_session().client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def test_endpoint_in_the_builder(spark):
    spark.range(10).write.parquet(f"s3a://{BUCKET}/builder")
    assert any(key.endswith(".parquet") for key in keys(BUCKET, "builder/"))
    assert spark.read.parquet(f"s3a://{BUCKET}/builder").count() == 10


def test_endpoint_of_a_bucket(spark):
    spark.range(3).write.json("s3a://acme-prod-raw/bucket")
    assert keys("acme-prod-raw", "bucket/_SUCCESS") == ["bucket/_SUCCESS"]


@pytest.mark.parametrize("endpoint", [ENDPOINT, "s3.us-east-1.amazonaws.com", "https://s3.amazonaws.com"])
def test_endpoint_set_while_it_runs(spark, endpoint):
    point_at(spark, endpoint, ACCESS_KEY, SECRET_KEY)
    target = f"s3a://{BUCKET}/runtime/{abs(hash(endpoint))}"
    spark.range(4).write.mode("overwrite").csv(target)
    assert spark.read.csv(target).count() == 4
    assert keys(BUCKET, target.partition(f"{BUCKET}/")[2])


def test_endpoint_as_an_option_of_the_reader(spark):
    boto_session().client("s3").put_object(Bucket=BUCKET, Key="lines/a.txt", Body=b"one\ntwo\n")
    options = {"fs.s3a.endpoint": ENDPOINT, "fs.s3a.access.key": ACCESS_KEY, "fs.s3a.secret.key": SECRET_KEY}
    assert spark.read.options(**options).text(f"s3a://{BUCKET}/lines").count() == 2


def test_profile(spark):
    session = boto_session()
    session.resource("s3").Bucket(BUCKET).put_object(Key="profile.txt", Body=b"by profile")
    assert spark.read.text(f"s3://{BUCKET}/profile.txt").first().value == "by profile"
    assert session.get_credentials().access_key != ACCESS_KEY


def test_client_of_import_time(spark):
    s3.put_object(Bucket=BUCKET, Key="early.txt", Body=b"early")
    assert s3.get_object(Bucket=BUCKET, Key="early.txt")["Body"].read() == b"early"


def test_other_services():
    session = boto_session()
    queue = session.client("sqs").create_queue(QueueName="ingested")["QueueUrl"]
    session.client("sqs").send_message(QueueUrl=queue, MessageBody="done")
    assert boto3.client("sqs").receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "done"
    assert boto3.client("sts").get_caller_identity()["Account"]


def test_process_of_its_own():
    # A script that the suite starts, with the environment that it has.
    code = (
        f"import boto3; print(boto3.Session(profile_name='prod').client('s3').head_bucket(Bucket={BUCKET!r})"
        "['ResponseMetadata']['HTTPStatusCode'])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ}
    )
    assert said.stdout.strip() == "200"
