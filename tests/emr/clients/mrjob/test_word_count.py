"""mrjob's EMR runner: it makes its bucket, its roles and its cluster, runs the job, and cleans up."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    words = tmp_path_factory.mktemp("in") / "words.txt"
    words.write_text("a rose is a rose\nis a rose\n")
    boto3.client("s3").create_bucket(Bucket="word-counts")
    done = subprocess.run(
        [
            sys.executable,
            "word_count.py",
            "-r",
            "emr",
            str(words),
            "--output-dir",
            "s3://word-counts/out/",
            "--cat-output",
        ],
        cwd=HERE,
        env={**os.environ, "MRJOB_CONF": str(HERE / "mrjob.conf")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_output(finished):
    counts = dict(line.split() for line in finished.stdout.splitlines())
    assert counts == {"a": "3", "rose": "3", "is": "2"}


def test_cluster(finished):
    emr = boto3.client("emr")
    (summary,) = emr.list_clusters()["Clusters"]
    emr.get_waiter("cluster_terminated").wait(ClusterId=summary["Id"])
    described = emr.describe_cluster(ClusterId=summary["Id"])["Cluster"]
    assert {"Key": "team", "Value": "search"} in described["Tags"]
    (step,) = emr.list_steps(ClusterId=summary["Id"])["Steps"]
    assert (step["Status"]["State"], step["Config"]["Args"][0]) == ("COMPLETED", "spark-submit")


def test_roles(finished):
    iam = boto3.client("iam")
    (role,) = [one["RoleName"] for one in iam.list_roles()["Roles"] if one["RoleName"].startswith("mrjob-")][
        :1
    ]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
