"""Tests of which the campaign makes suites. Each checks its own work, and that nobody else's is there."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from pathlib import Path

import boto3

#: A real account's, as far as the run knows: on the machine before it, and never to be seen by a test. Told backwards, so
#: that it is found only where it is a key.
REAL_KEY = os.environ["CHAOS_YEK_LAER"][::-1]
#: Files of somebody else, to which tests leave links.
OUTSIDE = Path(os.environ["CHAOS_OUTSIDE"])
#: Where the driver says that the others are over.
OTHERS_OVER = Path(os.environ["CHAOS_OTHERS_OVER"])
#: In all runs the same names, which only a run of its own can have.
BUCKET, KEY = "data", "in/part-0000.csv"

_WAIT_SECONDS = 600


def test_no_real_account():
    assert [name for name, value in os.environ.items() if REAL_KEY in value] == []
    assert boto3.Session().get_credentials().access_key != REAL_KEY
    # A program that the test starts sees no more than it, and ends with it.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert REAL_KEY.encode() not in Path(f"/proc/{child.pid}/environ").read_bytes()


def test_objects(s3):
    own = uuid.uuid4().hex.encode()
    bucket = f"{BUCKET}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    s3.create_bucket(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.put_object(Bucket=bucket, Key=KEY, Body=own)
    for _ in range(5):
        time.sleep(0.05)
        assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == own
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_objects_left(s3, scratch):
    for number in range(30):
        s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/{number}", Body=b"x" * 20_000)


def test_files_left(scratch):
    directory = scratch.path / "left"
    (directory / "deep" / "er").mkdir(parents=True)
    (directory / "deep" / "file").write_text("x" * 1000)
    (directory / "to-others").symlink_to(OUTSIDE)
    (directory / "to-another").symlink_to(OUTSIDE / "file")
    (directory / "deep" / "up").symlink_to("../../..")
    os.mkfifo(directory / "fifo")
    (directory / "deep").chmod(0o500)


def test_temporary_files(tmp_path):
    (tmp_path / "data").write_text("x")
    (tmp_path / "link").symlink_to(OUTSIDE)


def test_step(run_step):
    result = run_step("bash", "-c", "echo from the step; echo to a file > out; sleep 0.2")
    assert "from the step" in result.stdout


def test_slow():
    time.sleep(0.5)


def test_child_of_fork():
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        # It ends with its parent, and holds what it has inherited until then.
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    time.sleep(0.1)
    os.close(writing)
    os.waitpid(child, 0)


def test_spark_writes(spark, scratch):
    uri = (scratch / "table").uri
    spark.range(100).write.parquet(uri)
    assert spark.read.parquet(uri).count() == 100


def test_spark_tables(spark):
    assert spark.catalog.listTables() == []
    spark.range(5).write.saveAsTable("t")
    assert spark.table("t").count() == 5


def test_spark_python(spark):
    from pyspark.sql.functions import udf

    plus = udf(lambda number: number + 1, "long")
    assert spark.range(3).select(plus("id")).count() == 3


def test_stays_to_the_end(s3, scratch):
    """Alive from before the others to after their end, whatever is done to them."""
    own = uuid.uuid4().hex.encode()
    file = scratch.path / "mine"
    file.write_bytes(own)
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/mine", Body=own)
    end = time.monotonic() + _WAIT_SECONDS
    while not OTHERS_OVER.exists():
        assert time.monotonic() < end, "the others do not end"
        time.sleep(0.05)
        assert file.read_bytes() == own
    assert s3.get_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/mine")["Body"].read() == own


def test_off():
    """Without the option: the machine's own AWS settings are as they were."""
    assert os.environ["AWS_ACCESS_KEY_ID"] == REAL_KEY
    assert "AWS_ENDPOINT_URL" not in os.environ
