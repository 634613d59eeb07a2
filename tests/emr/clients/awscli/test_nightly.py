"""The script that the scheduler runs, with the AWS command line alone."""

import json
import subprocess
from pathlib import Path

import boto3
import pytest

SCRIPT = Path(__file__).parent / "nightly.sh"
BUCKET = "sales-by-script"


@pytest.fixture(scope="module")
def bucket():
    s3 = boto3.resource("s3")
    made = s3.create_bucket(Bucket=BUCKET)
    made.put_object(Key="sales/2026-11-23.csv", Body=b"shop,amount\nbonn,1\nbonn,2\nlyon,40\n")
    return made


def nightly(day):
    return subprocess.run([SCRIPT, BUCKET, day], capture_output=True, text=True)


def end_of(cluster):
    boto3.client("emr").get_waiter("cluster_terminated").wait(ClusterId=cluster)
    return boto3.client("emr").describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]


def test_totals(bucket):
    done = nightly("2026-11-23")
    assert done.returncode == 0, done.stderr
    cluster, step = done.stdout.split()
    written = [
        o.get()["Body"].read().decode() for o in bucket.objects.filter(Prefix="totals/2026-11-23/part-")
    ]
    rows = [json.loads(line) for text in written for line in text.splitlines()]
    assert {row["shop"]: row["total"] for row in rows} == {"bonn": 3, "lyon": 40}
    assert end_of(cluster) == "TERMINATED"
    logs = {o.key for o in bucket.objects.filter(Prefix=f"logs/{cluster}/steps/{step}/")}
    assert logs == {
        f"logs/{cluster}/steps/{step}/{name}.gz" for name in ("controller", "stderr", "stdout", "syslog")
    }
    assert list(bucket.objects.filter(Prefix=f"logs/{cluster}/containers/application_"))
