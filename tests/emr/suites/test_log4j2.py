"""What a cluster's classification ``spark-log4j2`` does to the logs of its steps."""

JOB = """
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
loggers = spark._jvm.org.apache.logging.log4j.LogManager
loggers.getLogger("com.example.Loud").info("loud is heard")
loggers.getLogger("com.example.Quiet").warn("quiet is not heard")
"""


def test_the_lines_are_laid_over_sparks_own(make_cluster, run_step, s3, scratch):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.py", Body=JOB.encode())
    lines = {
        "rootLogger.level": "error",
        "logger.loud.name": "com.example.Loud",
        "logger.loud.level": "info",
        # Of Log4j 1, as many requests still have it.
        "log4j.rootCategory": "DEBUG, console",
    }
    cluster = make_cluster(Configurations=[{"Classification": "spark-log4j2", "Properties": lines}])
    step = run_step("spark-submit", f"{scratch}/job.py", cluster=cluster)
    assert "INFO Loud: loud is heard" in step.stderr
    assert "quiet" not in step.stderr
    assert "log4j.rootCategory: of EMR's instances" in (step.log / "controller").read_text()
