"""What steps printed, which comes to S3 late on AWS. The local EMR has it there at once, and S3's answers are held back here."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.tests_clusters import StepResult, TestsClusters
from tests.conftest import UNDER_ONE_SPARK
from tests.emr_backend.s3_endpoint import Scratch
from tests.emr_backend.session_on_aws import SessionOnAws

COMMAND = ("sh", "-c", "echo out; echo err >&2")
FAILS = ("sh", "-c", "echo err >&2; exit 1")


class Time:
    """Logs come to S3 after a time, which passes in the pauses of who waits for them.

    :param aws: the session whose clients are made to see it so.
    """

    def __init__(self, aws: SessionOnAws) -> None:
        self.paused = 0.0
        self.looks = 0
        #: When logs with such a word in their keys are listed at all, and when they are as they were at the step's end.
        self.there: dict[str, float] = {}
        self.final: dict[str, float] = {}
        self.said: list[str] = []
        self.is_denied = False
        aws.on_client = self._on_client
        # Steps are waited for in pauses that last, logs in pauses that are over at once.
        self.clusters = aws.clusters(pace=Pace(poll=0.05), pause=self._pause, say=self.said.append)

    def _pause(self, seconds: float) -> None:
        self.paused += seconds

    def _on_client(self, service: str, client: Any) -> None:
        if service == "s3":
            client.meta.events.register("before-call.s3.ListObjectsV2", self._denied)
            client.meta.events.register("after-call.s3.ListObjectsV2", self._listed)

    def _denied(self, **_kwargs: Any) -> tuple[Any, Any] | None:
        if not self.is_denied:
            return None
        parsed = {
            "Error": {"Code": "AccessDenied", "Message": "Access Denied"},
            "ResponseMetadata": {"HTTPStatusCode": 403},
        }
        return AWSResponse("", 403, {}, None), parsed

    def _listed(self, parsed: dict[str, Any], **_kwargs: Any) -> None:
        self.looks += 1
        left = []
        for each in parsed.get("Contents", ()):
            if self._has_come(self.there, each["Key"]):
                if not self._has_come(self.final, each["Key"]):
                    each["LastModified"] -= timedelta(minutes=5)
                left.append(each)
        parsed["Contents"] = left

    def _has_come(self, when: dict[str, float], key: str) -> bool:
        return all(self.paused >= seconds for word, seconds in when.items() if word in key)


@pytest.fixture
def aws(scratch: Scratch, tmp_path: Path) -> Iterator[SessionOnAws]:
    session = SessionOnAws(scratch, tmp_path)
    yield session
    session.end()


Ran = Callable[..., tuple[StepResult, Time]]


@pytest.fixture
def ran(aws: SessionOnAws) -> Ran:
    """Run a step to its end, before time begins."""

    def run(*command: str) -> tuple[StepResult, Time]:
        time = Time(aws)
        result = time.clusters.run_step(time.clusters.shared_cluster(), *command, check=False)
        time.paused = 0.0
        return result, time

    return run


def all_logs(seconds: float) -> dict[str, float]:
    return dict.fromkeys(("controller", "stderr", "stdout", "syslog"), seconds)


def test_only_who_asks_waits(ran: Ran):
    result, time = ran(*COMMAND)
    time.there = all_logs(200)
    assert (time.looks, time.paused) == (0, 0)
    assert result.stdout == "out\n"
    assert 200 <= time.paused <= 215
    waited, looks = time.paused, time.looks
    # With pauses that get longer.
    assert looks < 25
    assert "EMR puts them on S3 every 5 minutes" in time.said[-1]
    assert result.stderr == "err\n"
    assert time.paused == waited


def test_logs_that_do_not_come(ran: Ran, aws: SessionOnAws):
    result, time = ran(*COMMAND)
    time.there = all_logs(1e9)
    with pytest.raises(errors.StepLogsMissing) as missing:
        _ = result.stdout
    assert time.paused == pytest.approx(360)
    assert f"{aws.place}/logs/{aws.own}/steps/{result.step_id}/stdout.gz, after 360 seconds" in (
        missing.value.checked
    )
    # Once for a step, whichever log it is.
    for ask in (lambda: result.stderr, (result.log / "controller").read_text):
        with pytest.raises(errors.StepLogsMissing):
            ask()
    assert time.paused == pytest.approx(360)
    time.there = {}
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_what_was_put_there_before_the_end_is_not_all(ran: Ran):
    """Of a step that runs for longer, logs are put on S3 again and again."""
    result, time = ran(*COMMAND)
    time.final = all_logs(100)
    # The controller's log tells the step's end as soon as it is there.
    time.there = {"controller": 100}
    assert result.stdout == "out\n"
    assert time.paused >= 100


def test_a_log_that_did_not_change_any_more(ran: Ran):
    """It is not put there again when the others are."""
    result, time = ran(*COMMAND)
    time.final = {"stdout": 1e9}
    assert result.stdout == "out\n"
    assert 15 <= time.paused <= 30


def test_logs_of_which_none_seems_to_be_of_the_end(ran: Ran):
    result, time = ran(*COMMAND)
    time.final = all_logs(1e9)
    time.there = {"controller": 1e9}
    assert result.stdout == "out\n"
    assert time.paused == pytest.approx(360)


def test_a_log_that_is_not_there_beside_others_is_empty(ran: Ran):
    result, time = ran(*COMMAND)
    time.there = {"stdout": 1e9}
    assert result.stdout == ""
    assert 15 <= time.paused <= 30


def test_a_step_that_never_ran(ran: Ran, aws: SessionOnAws):
    time = Time(aws)
    cluster = time.clusters.shared_cluster()
    steps = [
        {
            "Name": name,
            "ActionOnFailure": "CANCEL_AND_WAIT",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": [name]},
        }
        for name in ("false", "true")
    ]
    waiting = aws.emr.add_job_flow_steps(JobFlowId=cluster, Steps=steps)["StepIds"][1]
    place: Any = time.clusters._place
    status = place.wait_for_step(cluster, waiting)
    assert status["State"] == "CANCELLED"
    time.paused = 0.0
    logs = place.logs_of(cluster, waiting, status)
    assert (logs.stdout(), logs.stderr(), time.paused) == ("", "", 0)


@pytest.mark.parametrize("ending", [".txt.gz", ".txt", ""])
def test_other_names_of_logs(ran: Ran, aws: SessionOnAws, ending: str):
    result, _ = ran(*COMMAND)
    directory = f"{aws.scratch.prefix}/{aws.run_id}/logs/{aws.own}/steps/{result.step_id}"
    data = b"of another release\n"
    aws.scratch.s3.delete_object(Bucket=aws.scratch.bucket, Key=f"{directory}/stdout.gz")
    aws.scratch.put(f"{directory}/stdout{ending}", gzip.compress(data) if "gz" in ending else data)
    assert result.stdout == data.decode()


# The driver's, in its container.


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_a_driver_in_a_container(ran: Ran, aws: SessionOnAws):
    key = f"{aws.scratch.prefix}/{aws.run_id}/scratch/job.py"
    aws.scratch.put(key, b"print('of the driver')")
    result, time = ran("spark-submit", "--deploy-mode=cluster", f"s3://{aws.scratch.bucket}/{key}")
    time.there = {"/steps/": 100, "/containers/": 250}
    assert "of the driver" in result.stdout
    assert 250 <= time.paused <= 265


@pytest.fixture
def submitted(ran: Ran, aws: SessionOnAws) -> tuple[StepResult, Time, str]:
    """A step that says what YARN's client does, and where the logs of its application are."""
    report = "Application report for application_1700000000000_0007 (state: FINISHED)"
    result, time = ran("sh", "-c", f"echo 'INFO Client: {report}' >&2")
    return (
        result,
        time,
        f"{aws.scratch.prefix}/{aws.run_id}/logs/{aws.own}/containers/application_1700000000000_0007",
    )


def test_a_driver_that_was_tried_twice(submitted: tuple[StepResult, Time, str], aws: SessionOnAws):
    result, _, directory = submitted
    for container, text in {
        "container_1700000000000_0007_01_000001": "first",
        "container_1700000000000_0007_02_000001": "second",
        "container_1700000000000_0007_02_000002": "executor",
    }.items():
        aws.scratch.put(f"{directory}/{container}/stdout.gz", gzip.compress(text.encode()))
        aws.scratch.put(f"{directory}/{container}/stderr.gz", gzip.compress(f"{text} err".encode()))
    assert (result.stdout, result.stderr) == ("second", "second err")


def test_a_driver_of_a_resource_manager_that_was_started_again(
    submitted: tuple[StepResult, Time, str], aws: SessionOnAws
):
    result, _, directory = submitted
    aws.scratch.put(f"{directory}/container_e02_1700000000000_0007_01_000001/stdout.gz", gzip.compress(b"x"))
    assert result.stdout == "x"


def test_a_driver_whose_container_logs_nothing(submitted: tuple[StepResult, Time, str]):
    result, time, _ = submitted
    with pytest.raises(errors.StepLogsMissing):
        _ = result.stdout
    assert time.paused == pytest.approx(360)


# Reports of failed tests.


def test_a_report_waits_for_what_failed(ran: Ran):
    _, time = ran(*FAILS)
    clusters = time.clusters
    clusters.run_step(clusters.shared_cluster(), *COMMAND)
    time.paused = 0.0
    time.there = all_logs(100)
    [(_, failed), (_, completed)] = clusters.report()
    assert failed.startswith("standard error ends with:\nerr\n")
    assert 100 <= time.paused <= 115
    waited = time.paused
    time.there = all_logs(1e9)
    assert clusters.report()[0][1] == failed
    assert time.paused == waited
    assert completed.startswith("standard error ends with:\nerr\n")


def test_a_report_does_not_wait_for_what_completed(ran: Ran):
    _, time = ran(*COMMAND)
    time.there = all_logs(100)
    [(_, text)] = time.clusters.report()
    assert "is not on S3 yet, after 0 seconds of waiting; EMR puts logs there every 5 minutes" in text
    assert time.paused == 0


def test_reports_together_wait_for_so_long_only(ran: Ran):
    _, time = ran(*FAILS)
    clusters: TestsClusters = time.clusters
    for _ in range(4):
        clusters.run_step(clusters.shared_cluster(), *FAILS, check=False)
    time.paused = 0.0
    time.there = all_logs(1e9)
    assert len(clusters.report()) == 5
    assert time.paused == pytest.approx(900)
    clusters.report()
    assert time.paused == pytest.approx(900)


def test_a_failure_is_told_at_once(ran: Ran):
    _, time = ran("true")
    time.there = all_logs(1e9)
    before = len(time.said)
    with pytest.raises(errors.StepFailed) as failed:
        time.clusters.run_step(time.clusters.shared_cluster(), *FAILS)
    assert "EMR says: Unknown Error." in failed.value.checked
    assert "standard error is not on S3 yet, after 0 seconds" in failed.value.checked
    assert time.said[before:] == []


# Logs that are not to be had.


def test_logs_that_may_not_be_read(ran: Ran, aws: SessionOnAws):
    result, time = ran(*COMMAND)
    time.is_denied = True
    with pytest.raises(errors.AwsRefused, match="AccessDenied"):
        _ = result.stdout
    [(_, text)] = time.clusters.report()
    assert "standard error cannot be read" in text
    assert f"s3://{aws.scratch.bucket}/" in text
    assert time.paused == 0


def test_a_cluster_without_logs(aws: SessionOnAws):
    """One that code under test made."""
    made = aws.emr.run_job_flow(
        Name=f"nightly {aws.run_id}",
        ReleaseLabel="emr-7.10.0",
        Instances={
            "MasterInstanceType": "m5.xlarge",
            "InstanceCount": 1,
            "KeepJobFlowAliveWhenNoSteps": True,
        },
        JobFlowRole="EMR_EC2_DefaultRole",
        ServiceRole="EMR_DefaultRole",
    )["JobFlowId"]
    clusters = aws.clusters(pace=Pace(poll=0.05))
    result = clusters.run_step(made, "true")
    assert str(result.log) == ""
    for ask in (lambda: result.stdout, (result.log / "controller").read_text):
        with pytest.raises(errors.StepLogsMissing, match="no LogUri"):
            ask()
    assert "no log is kept: the cluster has no LogUri" in clusters.report()[0][1]
