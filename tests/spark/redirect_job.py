"""A Spark job that sets its S3 up in wrong ways, those named by its arguments. Prints what became of each."""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

ELSEWHERE = "http://s3.example.invalid"
BUCKET = "the-bucket"

builder = SparkSession.builder.master("local[2]")
for key, value in json.loads(Path(sys.argv[1]).read_text()).items():
    builder = builder.config(key, value)
# A setting of the application itself.
spark = builder.config("spark.hadoop.fs.s3a.bucket.conf-bucket.endpoint", ELSEWHERE).getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
jvm = spark.sparkContext._jvm
hadoop = spark.sparkContext._jsc.hadoopConfiguration()
right = {
    name: hadoop.get(name)
    for name in (
        "fs.s3a.endpoint",
        "fs.s3a.path.style.access",
        "fs.s3a.connection.ssl.enabled",
        "fs.s3a.access.key",
        "fs.s3a.secret.key",
    )
}


def round_trip(path, options=None):
    options = options or {}
    spark.range(0, 10, 1, 1).write.mode("overwrite").options(**options).parquet(path)
    return spark.read.options(**options).parquet(path).count()


def multipart(path):
    """Write an object in parts and rename it, which copies it in parts by the transfer manager."""
    one, two = jvm.org.apache.hadoop.fs.Path(f"{path}/one"), jvm.org.apache.hadoop.fs.Path(f"{path}/two")
    files = one.getFileSystem(hadoop)
    stream = files.create(one)
    for _ in range(12):
        stream.write(bytearray(1 << 20))
    stream.close()
    files.rename(one, two)
    return files.getFileStatus(two).getLen()


def stream(path):
    """Stream with a checkpoint, which goes through FileContext."""
    spark.range(0, 5, 1, 1).write.mode("overwrite").parquet(f"{path}/in")
    query = (
        spark.readStream.schema("id long")
        .parquet(f"{path}/in")
        .writeStream.format("parquet")
        .option("path", f"{path}/out")
        .option("checkpointLocation", f"{path}/checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    return spark.read.parquet(f"{path}/out").count()


def attempt(name, settings, action, *arguments):
    if name not in sys.argv[2:]:
        return
    jvm.org.apache.hadoop.fs.FileSystem.closeAll()
    for key, value in {**right, **settings}.items():
        hadoop.set(key, value)
    try:
        outcome = action(*arguments)
    except Exception as error:  # noqa: BLE001 - the outcome, to be judged by the test
        outcome = str(error)[:2000]
    print(json.dumps({"name": name, "outcome": outcome}), flush=True)


attempt("s3a", {}, round_trip, f"s3a://{BUCKET}/s3a")
attempt("s3", {}, round_trip, f"s3://{BUCKET}/s3")
attempt("s3n", {}, round_trip, f"s3n://{BUCKET}/s3n")
attempt("conf", {}, round_trip, "s3a://conf-bucket/conf")
attempt("run-time", {"fs.s3a.endpoint": ELSEWHERE}, round_trip, f"s3a://{BUCKET}/run-time")
attempt(
    "https",
    {"fs.s3a.endpoint": "s3.example.invalid", "fs.s3a.connection.ssl.enabled": "true"},
    round_trip,
    f"s3a://{BUCKET}/https",
)
attempt(
    "virtual-host",
    {"fs.s3a.endpoint": ELSEWHERE, "fs.s3a.path.style.access": "false"},
    round_trip,
    f"s3a://{BUCKET}/virtual-host",
)
attempt("option", {}, round_trip, f"s3a://{BUCKET}/option", {"fs.s3a.endpoint": ELSEWHERE})
attempt(
    "keys",
    {"fs.s3a.access.key": "HARDCODED", "fs.s3a.secret.key": "wrong"},
    round_trip,
    f"s3a://{BUCKET}/keys",
)
attempt(
    "multipart",
    {
        "fs.s3a.endpoint": ELSEWHERE,
        "fs.s3a.path.style.access": "false",
        "fs.s3a.multipart.size": "5242880",
        "fs.s3a.multipart.threshold": "5242880",
    },
    multipart,
    f"s3a://{BUCKET}/multipart",
)
attempt("stream", {}, stream, f"s3://{BUCKET}/stream")
spark.stop()
