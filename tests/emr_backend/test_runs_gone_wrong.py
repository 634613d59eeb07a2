"""Runs on the emr backend that go wrong: they say why, and leave nothing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.backends.emr.pace import PACE_VARIABLE
from tests.amazon import BUCKET, ON_AMAZON
from tests.conftest import Finished, Start
from tests.emr_backend.aws_proxy import AwsProxy
from tests.emr_backend.faults import Fault, Plan, Rule
from tests.emr_backend.runs import HAS_SPARK, RUN_ID, run_id_of

if HAS_SPARK:

    def test_a_cluster_that_somebody_ends_under_spark_is_said_to_be(project, run_pytest, amazon, home):
        """And pytest goes on to the next test, and to its end."""
        (project / "test_it.py").write_text(
            "import pytest\n"
            "def test_ends_it(emr_cluster, emr, spark):\n"
            "    assert spark.range(2).count() == 2\n"
            "    emr.terminate_job_flows(JobFlowIds=[emr_cluster])\n"
            "    emr.get_waiter('cluster_terminated').wait(ClusterId=emr_cluster)\n"
            "    spark.range(3).count()\n"
            "def test_spark(spark): pass\n"
            "def test_other(scratch): pass\n"
        )
        finished = run_pytest(*ON_AMAZON)
        assert finished.code == 1, finished.output
        assert "INTERNALERROR" not in finished.output
        assert "IE605" in finished.output
        assert "kept: logs of the EMR cluster" in finished.output
        assert "hours of m5.xlarge" in finished.output
        assert amazon.things_of(run_id_of(finished)) == []

    def test_ctrl_c_while_workers_wait_for_the_cluster_ends_it(project, start_pytest: Start, amazon):
        amazon.client("s3").put_object(Bucket=BUCKET, Key="slow.sh", Body=b"#!/bin/bash\nsleep 600\n")
        (project / "test_it.py").write_text("def test_it(spark): pass\ndef test_too(spark): pass\n")
        with (project / "pytest.ini").open("a") as ini:
            ini.write(f"isolated_emr_bootstrap_actions = s3://{BUCKET}/slow.sh\n")
        process = start_pytest(*ON_AMAZON, "-n", "2")
        assert process.stdout is not None
        seen = ""
        while "is BOOTSTRAPPING" not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line
        # How long it has been waited for, and where to look.
        assert re.search(r"cluster (j-\w+) is BOOT.*, \d+:\d\d min, https://\S+#/clusterDetails/\1$", line)
        found = RUN_ID.search(seen)
        assert found is not None
        process.send_signal(signal.SIGINT)
        assert Finished(process).code == 2
        assert amazon.things_of(found[1]) == []


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_live_run_that_loses_its_lease_stops(project, run_pytest, amazon, home, bystander, workers):
    """Its cluster ends while pytest goes on, and no other test writes to where it has no right any more."""
    (project / "test_it.py").write_text(
        "def test_loses_it(isolated_emr, emr_cluster, emr, s3):\n"
        "    place = isolated_emr.scratch.prefix.partition(isolated_emr.run_id)[0]\n"
        "    s3.delete_object(Bucket=isolated_emr.scratch.bucket, Key=f'{place}{isolated_emr.run_id}/lease.json')\n"
        "    emr.get_waiter('cluster_terminated').wait(ClusterId=emr_cluster)\n"
        "def test_writes_on(scratch, s3):\n"
        "    s3.put_object(Bucket=scratch.bucket, Key=f'{scratch.prefix}/late', Body=b'late')\n"
        "def test_writes_on_and_on(scratch, s3): pass\n"
    )
    pace = {**json.loads(amazon.variables[PACE_VARIABLE]), "renew": 0.2}
    finished = run_pytest(
        *ON_AMAZON, *workers, "--isolated-emr-release=emr-7.10.0", **{PACE_VARIABLE: json.dumps(pace)}
    )
    assert finished.code == 75, finished.output
    assert "IE609: The session has lost its lease" in finished.output
    # What comes after the next test is not begun; a worker of xdist's has them all fail.
    assert f"1 passed, {2 if workers else 1} error" in finished.output, finished.output
    assert "to remove it: isolated-emr sweep --delete" in finished.output
    run_id = run_id_of(finished)
    assert [key for key in amazon.things_of(run_id) if key.endswith("/late")] == []
    [cluster] = amazon.clusters_of(run_id)
    assert cluster["Status"]["State"] == "TERMINATED"
    assert f"cluster {cluster['Id']} cost" in finished.output
    environ = {**amazon.variables, "ISOLATED_EMR_HOME": str(home)}
    sweep = [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--delete"]
    subprocess.run(sweep, env=environ, check=True, capture_output=True)
    assert amazon.things_of(run_id) == []
    bystander()


BAD = [
    pytest.param(["--isolated-emr-scratch=s3://no-such-bucket/x"], ["IE602", "no-such-bucket"], id="bucket"),
    pytest.param(["--isolated-emr-region=us-west-2"], ["IE602", "eu-west-1", "us-west-2"], id="region"),
    pytest.param(
        ["--isolated-emr-subnet=subnet-0123456789abcdef0"], ["IE603", "subnet-0123456789abcdef0"], id="subnet"
    ),
    pytest.param(["--isolated-emr-service-role=NoSuchRole"], ["IE603", "NoSuchRole"], id="role"),
    pytest.param(["--isolated-emr-instance-profile=NoSuchProfile"], ["IE603", "NoSuchProfile"], id="profile"),
    pytest.param(
        ["--isolated-emr-instance-type=m9.huge"], ["IE603", "does not run on m9.huge"], id="instance type"
    ),
    pytest.param(
        ["--isolated-emr-release=emr-7.99.0"],
        ["--isolated-emr-release: 'emr-7.99.0' is not one of"],
        id="release",
    ),
    pytest.param(["--isolated-emr-key-name=nobodys"], ["IE603", "nobodys"], id="key"),
    pytest.param(
        ["--isolated-emr-role-arn=arn:aws:iam::123456789012:user/x"],
        ["--isolated-emr-role-arn"],
        id="role to be taken",
    ),
    pytest.param(["--isolated-emr-scratch=s3://amazon-scratch"], ["bucket's root"], id="root"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_what_cannot_be_had_is_said_before_it_costs(project, run_pytest, amazon, arguments, words):
    (project / "test_it.py").write_text("def test_it(emr_cluster): pass\n")
    before = {
        each["Id"]
        for page in amazon.client("emr").get_paginator("list_clusters").paginate()
        for each in page["Clusters"]
    }
    finished = run_pytest(*ON_AMAZON, *arguments)
    assert finished.code in (4, 75), finished.output
    for word in words:
        assert word in finished.output, finished.output
    after = {
        each["Id"]
        for page in amazon.client("emr").get_paginator("list_clusters").paginate()
        for each in page["Clusters"]
    }
    assert after == before


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(
            Rule(Fault.DENIED, ("GetBucketLocation",)),
            ["IE602", f"The bucket {BUCKET} is another account's"],
            id="someone else's bucket",
        ),
        pytest.param(
            Rule(Fault.OVER_QUOTA, ("RunJobFlow",)),
            ["IE603", "exceeds the EC2 service quota", "Ask for a higher quota"],
            id="quota",
        ),
        pytest.param(
            Rule(Fault.NO_RELEASE, ("DescribeReleaseLabel",)),
            ["IE603", "The supplied release label is invalid", "Choose a release that eu-west-1 has"],
            id="a release that the region does not have",
        ),
    ],
)
def test_what_aws_refuses_is_said_in_its_words(project, run_pytest, amazon, fault, words):
    (project / "test_it.py").write_text("def test_it(emr_cluster): pass\n")
    with AwsProxy(amazon.variables["AWS_ENDPOINT_URL"], Plan([fault])) as proxy:
        finished = run_pytest(*ON_AMAZON, AWS_ENDPOINT_URL=proxy.url)
    assert finished.code == 75, finished.output
    for word in words:
        assert word in finished.output, finished.output
    run_id = RUN_ID.search(finished.output)
    assert run_id is None or (amazon.clusters_of(run_id[1]), amazon.things_of(run_id[1])) == ([], [])


def test_no_credentials(project, start_pytest, home, tmp_path):
    (project / "test_it.py").write_text("def test_it(): pass\n")
    nothing = str(tmp_path / "none")
    finished = Finished(
        start_pytest(
            *ON_AMAZON[:1],
            # Spelt so, it gets nothing of the stand-in's.
            "--isolated-emr-backend",
            "emr",
            *ON_AMAZON[2:],
            AWS_EC2_METADATA_DISABLED="true",
            AWS_CONFIG_FILE=nothing,
            AWS_SHARED_CREDENTIALS_FILE=nothing,
        )
    )
    assert finished.code == 75, finished.output
    assert "IE601" in finished.output
    assert list((home / "sessions").iterdir()) == []


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_cluster_that_fails_to_start_ends_the_run_with_awss_words(project, run_pytest, amazon, workers):
    amazon.client("s3").put_object(Bucket=BUCKET, Key="fails.sh", Body=b"#!/bin/bash\nexit 7\n")
    (project / "test_it.py").write_text("def test_it(emr_cluster): pass\n")
    with (project / "pytest.ini").open("a") as ini:
        ini.write(f"isolated_emr_bootstrap_actions = s3://{BUCKET}/fails.sh\n")
    finished = run_pytest(*ON_AMAZON, *workers)
    assert finished.code == 75, finished.output
    assert "IE604" in finished.output
    assert "BOOTSTRAP_FAILURE" in finished.output
    run_id = run_id_of(finished)
    assert len(amazon.clusters_of(run_id)) == 1
    assert amazon.things_of(run_id) == []


def test_a_module_that_cannot_be_imported_is_told_without_a_wait_for_the_cluster(project, run_pytest, amazon):
    # With a wait it would be the end of the run.
    amazon.client("s3").put_object(Bucket=BUCKET, Key="fails.sh", Body=b"#!/bin/bash\nexit 7\n")
    (project / "test_it.py").write_text("def test_it(emr_cluster): pass\n")
    (project / "test_later.py").write_text("import no_such_module\n")
    with (project / "pytest.ini").open("a") as ini:
        ini.write(f"isolated_emr_bootstrap_actions = s3://{BUCKET}/fails.sh\n")
    finished = run_pytest(*ON_AMAZON)
    assert finished.code == 2, finished.output
    assert "No module named 'no_such_module'" in finished.output
    assert amazon.things_of(run_id_of(finished)) == []


def test_a_cluster_that_somebody_ends_is_said_to_be(project, run_pytest, amazon):
    (project / "test_it.py").write_text(
        "import boto3\n"
        "def test_it(emr_cluster, emr, run_step):\n"
        "    emr.terminate_job_flows(JobFlowIds=[emr_cluster])\n"
        "    emr.get_waiter('cluster_terminated').wait(ClusterId=emr_cluster)\n"
        "    run_step('true')\n"
    )
    finished = run_pytest(*ON_AMAZON)
    assert finished.code == 1, finished.output
    assert "IE605" in finished.output, finished.output
    assert amazon.things_of(run_id_of(finished)) == []


def journal_of(home: Path, run_id: str) -> list[dict[str, Any]]:
    lines = (home / "sessions" / run_id / "journal").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_what_a_killed_keeper_leaves_goes_with_the_next_sweep(
    project, start_pytest: Start, amazon, home, tmp_path, bystander
):
    (project / "test_it.py").write_text(
        "import json, os, signal\n"
        "def test_it(isolated_emr, emr_cluster, scratch, s3):\n"
        "    s3.put_object(Bucket=scratch.bucket, Key=f'{scratch.prefix}/x', Body=b'x')\n"
        "    directory = isolated_emr._session.directory\n"
        "    keeper = json.loads((directory / 'session.json').read_text())['keeper']['pid']\n"
        "    os.kill(keeper, signal.SIGKILL)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    finished = Finished(start_pytest(*ON_AMAZON, "-s"))
    assert finished.code == -signal.SIGKILL, finished.output
    run_id = run_id_of(finished)
    [cluster] = amazon.clusters_of(run_id)
    assert cluster["Status"]["State"] == "WAITING"
    [intent] = [
        line
        for line in journal_of(home, run_id)
        if (line["op"], line.get("kind")) == ("intend", "emr-cluster")
    ]
    assert intent["facts"].keys() == {"region", "account", "owner", "expiry", "place"}
    assert "host" in journal_of(home, run_id)[0]
    environ = {**amazon.variables, "ISOLATED_EMR_HOME": str(home), "PATH": "/usr/bin:/bin"}
    sweep = [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep"]

    def swept(*more: str) -> str:
        done = subprocess.run([*sweep, *more], env=environ, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    # A dry run is one.
    assert run_id in swept()
    assert cluster["Id"] in amazon.things_of(run_id)
    output = swept("--delete")
    assert amazon.things_of(run_id) == [], output
    assert list((home / "sessions").iterdir()) == [], output
    bystander()


def test_the_next_run_sweeps_what_a_dead_one_left(project, start_pytest, run_pytest, amazon, home):
    (project / "test_it.py").write_text(
        "import json, os, signal\n"
        "def test_it(isolated_emr, emr_cluster):\n"
        "    if 'KILL' in os.environ:\n"
        "        directory = isolated_emr._session.directory\n"
        "        keeper = json.loads((directory / 'session.json').read_text())['keeper']['pid']\n"
        "        os.kill(keeper, signal.SIGKILL)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    sessions = directory = isolated_emr._session.directory.parent\n"
        "    while len(list(sessions.iterdir())) > 1: pass\n"
    )
    dead = run_id_of(Finished(start_pytest(*ON_AMAZON, KILL="1")))
    run_pytest(*ON_AMAZON).assert_passed(1)
    assert amazon.things_of(dead) == []


def test_leftovers_on_aws_are_left_alone_by_runs_of_this_machine(
    project, start_pytest, run_pytest, amazon, home
):
    kill: Any = (
        "import json, os, signal\n"
        "def test_it(isolated_emr, emr_cluster):\n"
        "    directory = isolated_emr._session.directory\n"
        "    keeper = json.loads((directory / 'session.json').read_text())['keeper']['pid']\n"
        "    os.kill(keeper, signal.SIGKILL)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (project / "test_it.py").write_text(kill)
    dead = run_id_of(Finished(start_pytest(*ON_AMAZON)))
    (project / "test_it.py").write_text("def test_it(isolated_emr): pass\n")
    run_pytest("--isolated-emr").assert_passed(1)
    # Its record stays, for a sweep with credentials.
    assert [path.name for path in (home / "sessions").iterdir()] == [dead]
    assert amazon.things_of(dead) != []


def test_ctrl_c_while_a_test_waits_for_a_slot(project, start_pytest: Start, amazon, tmp_path):
    scratch = f"--isolated-emr-scratch=s3://{BUCKET}/another-slot"
    common = (*ON_AMAZON[:2], scratch, ON_AMAZON[3], "--isolated-emr-max-sessions=1", "-s")
    release = "--isolated-emr-release=emr-7.10.0"
    (project / "test_it.py").write_text(
        "import os\n"
        "def test_it(make_cluster):\n"
        "    make_cluster()\n"
        "    print('MADE', flush=True)\n"
        "    os.read(os.pipe()[0], 1)\n"
    )

    def until(process: subprocess.Popen[str], word: str) -> None:
        assert process.stdout is not None
        seen = ""
        while word not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line

    first, second = start_pytest(*common, release), None
    until(first, "MADE")
    second = start_pytest(*common, release)
    until(second, "a free slot")
    for process in (second, first):
        process.send_signal(signal.SIGINT)
        assert Finished(process).code == 2
    slots = amazon.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="another-slot/")
    assert slots["KeyCount"] == 0
