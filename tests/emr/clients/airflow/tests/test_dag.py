"""The whole DAG, in this process, as ``airflow dags test`` runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from airflow.providers.amazon.aws.hooks.emr import EmrHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook


@pytest.fixture(scope="module", autouse=True)
def database():
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, stdout=subprocess.DEVNULL)


def test_nightly():
    import nightly

    run = nightly.dag.test()
    assert run.state == "success"
    assert {ti.task_id: ti.state for ti in run.get_task_instances()} == dict.fromkeys(
        nightly.dag.task_ids, "success"
    )

    s3 = S3Hook()
    keys = s3.list_keys(nightly.BUCKET, prefix="totals/")
    lines = [
        line
        for key in keys
        if key.endswith(".json")
        for line in s3.read_key(key, nightly.BUCKET).splitlines()
    ]
    assert {row["shop"]: row["total"] for row in map(json.loads, lines)} == {"bonn": 3, "lyon": 40}
    (cluster,) = EmrHook().conn.list_clusters(ClusterStates=["TERMINATED"])["Clusters"][:1]
    assert cluster["Name"] == "nightly-totals"
