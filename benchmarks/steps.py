"""A trivial PySpark job as a step of a cluster and by spark-submit itself, in turns.

Run inside a session, as ``isolated-emr exec -- python -m benchmarks.steps RESULTS ENVIRON ROUNDS``: the file RESULTS takes
the figures as JSON, the file ENVIRON has the environment outside of the session, for spark-submit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pyspark

JOB = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
assert spark.range(10).count() == 10
spark.stop()
"""
#: What is measured, in seconds.
CLUSTER, ANSWERS = "RunJobFlow to WAITING, the first of a session", "100 DescribeStep"
STEP, RAW = "AddJobFlowSteps to COMPLETED", "spark-submit"
TEN_STEPS, TEN_RAWS = "ten steps in a row", "spark-submit ten times"


def seconds(act: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.monotonic()
    act()
    return time.monotonic() - started


class Cluster:
    """A waiting cluster of the session, asked about more often than clients do: little of their waits is in the figures."""

    def __init__(self, emr: Any, script: str) -> None:
        self.emr = emr
        self.script = script
        instances = {
            "MasterInstanceType": "m5.xlarge",
            "InstanceCount": 1,
            "KeepJobFlowAliveWhenNoSteps": True,
        }
        self.id = emr.run_job_flow(
            Name="bench",
            ReleaseLabel="emr-7.10.0",
            Instances=instances,
            JobFlowRole="EMR_EC2_DefaultRole",
            ServiceRole="EMR_DefaultRole",
        )["JobFlowId"]
        while emr.describe_cluster(ClusterId=self.id)["Cluster"]["Status"]["State"] != "WAITING":
            time.sleep(0.05)

    def run_steps(self, count: int) -> str:
        """Run the job as so many steps, one after the other; return the last one's id."""
        step = {
            "Name": "trivial",
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["spark-submit", self.script]},
        }
        last: str = self.emr.add_job_flow_steps(JobFlowId=self.id, Steps=[step] * count)["StepIds"][-1]
        while (state := self.state_of(last)) in ("PENDING", "RUNNING"):
            time.sleep(0.05)
        if state != "COMPLETED":
            raise SystemExit(f"{last} of {self.id} ended as {state}")
        return last

    def state_of(self, step: str) -> str:
        """Return a step's state."""
        state: str = self.emr.describe_step(ClusterId=self.id, StepId=step)["Step"]["Status"]["State"]
        return state


def main() -> None:
    """Measure, and write the figures."""
    results, environ, rounds = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3])
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="bench-jobs")
    s3.put_object(Bucket="bench-jobs", Key="job.py", Body=JOB.encode())
    script = results.with_name("job.py")
    script.write_text(JOB)
    submit = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), str(script)]

    def run_raw(count: int) -> None:
        for _ in range(count):
            subprocess.run(submit, env=environ, cwd=results.parent, check=True, capture_output=True)

    made: list[Cluster] = []
    figures = {
        CLUSTER: [seconds(lambda: made.append(Cluster(boto3.client("emr"), "s3://bench-jobs/job.py")))]
    }
    (cluster,) = made
    # The first round warms the disk's cache, and is not counted.
    run_raw(1)
    last = cluster.run_steps(1)
    pairs = [(seconds(lambda: cluster.run_steps(1)), seconds(lambda: run_raw(1))) for _ in range(rounds)]
    figures[STEP], figures[RAW] = [step for step, _ in pairs], [raw for _, raw in pairs]
    figures[TEN_STEPS] = [seconds(lambda: cluster.run_steps(10))]
    figures[TEN_RAWS] = [seconds(lambda: run_raw(10))]
    figures[ANSWERS] = [seconds(lambda: [cluster.state_of(last) for _ in range(100)])]
    results.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
