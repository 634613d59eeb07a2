"""Keeps the stock list in S3 and says so on a queue."""

import json

import boto3

BUCKET = "inventory"


def save(name, count):
    boto3.client("s3", region_name="us-east-1").put_object(Bucket=BUCKET, Key=name, Body=json.dumps(count))


def load(name):
    body = boto3.resource("s3", region_name="us-east-1").Object(BUCKET, name).get()["Body"]
    return json.loads(body.read())


def announce(queue_url, name):
    boto3.client("sqs", region_name="us-east-1").send_message(QueueUrl=queue_url, MessageBody=name)
