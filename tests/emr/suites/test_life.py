"""Clusters and steps through boto3 alone, as user code has them; no step needs Spark."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError
from processes import assert_gone, process_of

emr = boto3.client("emr")
ENDED = ("COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED")


def bash(script, action="CONTINUE", name="bash"):
    jar_step = {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]}
    return {"Name": name, "ActionOnFailure": action, "HadoopJarStep": jar_step}


def start(keep=True, **request):
    instances = {
        "MasterInstanceType": "m5.xlarge",
        "InstanceCount": 1,
        "KeepJobFlowAliveWhenNoSteps": keep,
        **request.pop("Instances", {}),
    }
    roles = {"JobFlowRole": "EMR_EC2_DefaultRole", "ServiceRole": "EMR_DefaultRole"}
    return emr.run_job_flow(Name="n", ReleaseLabel="emr-7.10.0", Instances=instances, **roles, **request)[
        "JobFlowId"
    ]


def cluster_status(cluster):
    return emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]


def step_status(cluster, step):
    return emr.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]


def until(look, *wanted):
    deadline = time.monotonic() + 60
    while (state := look()["State"]) not in wanted:
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return look()


def written(path):
    """Wait for the number that a process writes into a file."""
    deadline = time.monotonic() + 60
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline, f"nothing in {path}"
        time.sleep(0.02)
    return int(path.read_text())


def end_of_step(cluster, step):
    return until(lambda: step_status(cluster, step), *ENDED)


def end_of_cluster(cluster):
    return until(lambda: cluster_status(cluster), "TERMINATED", "TERMINATED_WITH_ERRORS")


@pytest.fixture
def marks(tmp_path):
    return tmp_path


@pytest.fixture(scope="module")
def cluster():
    made = start()
    until(lambda: cluster_status(made), "WAITING")
    return made


def test_a_cluster_without_steps_waits(cluster):
    status = cluster_status(cluster)
    assert status["StateChangeReason"] == {"Message": "Cluster ready to run steps."}
    assert set(status["Timeline"]) == {"CreationDateTime", "ReadyDateTime"}


def test_clusters_made_at_the_same_moment():
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _number: start(), range(4)))
    for one in made:
        assert (
            until(lambda one=one: cluster_status(one), "WAITING", "TERMINATED_WITH_ERRORS")["State"]
            == "WAITING"
        )


def test_what_has_no_effect_is_said_in_the_controller_log(make_cluster, run_step):
    settings = {"spark.hadoop.fs.s3a.endpoint": "s3.amazonaws.com", "spark.jars": "/usr/lib/hadoop-lzo/lib/*"}
    made = make_cluster(Configurations=[{"Classification": "spark-defaults", "Properties": settings}])
    said = (run_step("true", cluster=made).log / "controller").read_text()
    assert "spark.hadoop.fs.s3a.endpoint: left out" in said
    assert "spark.jars: of EMR's instances" in said


@pytest.mark.parametrize("operation", ["get_cluster_session_credentials", "list_studios"])
def test_what_is_not_here_is_refused_and_not_repeated(cluster, operation):
    arguments = {} if operation == "list_studios" else {"ClusterId": cluster}
    with pytest.raises(ClientError) as caught:
        getattr(emr, operation)(**arguments)
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_steps_run_in_order_and_the_cluster_ends_with_them(marks):
    order = marks / "order"
    made = start(keep=False, Steps=[bash(f"echo {number} >> {order}") for number in range(3)])
    assert end_of_cluster(made)["StateChangeReason"] == {
        "Code": "ALL_STEPS_COMPLETED",
        "Message": "Steps completed",
    }
    assert order.read_text() == "0\n1\n2\n"
    listed = emr.list_steps(ClusterId=made)["Steps"]
    assert [step["Status"]["State"] for step in listed] == ["COMPLETED"] * 3
    assert [step["Id"] for step in listed] == [
        step["Id"]
        for step in sorted(listed, key=lambda s: s["Status"]["Timeline"]["StartDateTime"], reverse=True)
    ]


@pytest.mark.parametrize("waited_for", ["RUNNING", "TERMINATING"])
def test_a_client_that_looks_every_second_misses_no_state(waited_for):
    made = start(keep=False, Steps=[bash("true")])
    seen = []
    while not seen or not seen[-1].startswith("TERMINATED"):
        seen.append(cluster_status(made)["State"])
        time.sleep(1)
    assert waited_for in seen


def test_waiters_of_boto3():
    made = start(keep=True, Steps=[bash("true")])
    emr.get_waiter("cluster_running").wait(ClusterId=made)
    step = emr.list_steps(ClusterId=made)["Steps"][0]["Id"]
    emr.get_waiter("step_complete").wait(ClusterId=made, StepId=step)
    emr.terminate_job_flows(JobFlowIds=[made])
    emr.get_waiter("cluster_terminated").wait(ClusterId=made)
    assert emr.get_waiter("cluster_terminated").config.delay == 1


@pytest.mark.parametrize(
    ("action", "second", "state", "code"),
    [
        ("TERMINATE_CLUSTER", "CANCELLED", "TERMINATED_WITH_ERRORS", "STEP_FAILURE"),
        ("CANCEL_AND_WAIT", "CANCELLED", "WAITING", None),
        ("CONTINUE", "COMPLETED", "WAITING", None),
    ],
)
def test_action_on_failure(action, second, state, code):
    made = start(Steps=[bash("echo no >&2; exit 3", action), bash("true")])
    status = until(lambda: cluster_status(made), "WAITING", "TERMINATED_WITH_ERRORS")
    assert (status["State"], status["StateChangeReason"].get("Code")) == (state, code)
    newest, first = emr.list_steps(ClusterId=made)["Steps"]
    assert (first["Status"]["State"], newest["Status"]["State"]) == ("FAILED", second)
    assert first["Status"]["FailureDetails"]["Reason"] == "Unknown Error."


def test_steps_at_once(marks):
    made = start(StepConcurrencyLevel=2)
    # Each waits for the other: one after the other they would never end.
    pair = [
        bash(f"touch {marks}/{mine}; while [ ! -e {marks}/{other} ]; do sleep 0.05; done")
        for mine, other in (("a", "b"), ("b", "a"))
    ]
    for step in emr.add_job_flow_steps(JobFlowId=made, Steps=pair)["StepIds"]:
        assert end_of_step(made, step)["State"] == "COMPLETED"


@pytest.mark.parametrize("option", ["SEND_INTERRUPT", "TERMINATE_PROCESS"])
def test_cancelling_a_running_step_and_a_pending_one(cluster, marks, option):
    running, pending = emr.add_job_flow_steps(
        JobFlowId=cluster, Steps=[bash(f"echo $$ > {marks}/pid; sleep 1000 & wait"), bash("true")]
    )["StepIds"]
    pid = written(marks / "pid")
    assert process_of(cluster, pid) is not None
    unknown = "s-UNKNOWN"
    answer = emr.cancel_steps(
        ClusterId=cluster, StepIds=[pending, running, unknown], StepCancellationOption=option
    )["CancelStepsInfoList"]
    assert [info["Status"] for info in answer] == ["SUBMITTED", "SUBMITTED", "FAILED"]
    for step in (pending, running):
        assert end_of_step(cluster, step)["State"] == "CANCELLED"
    assert step_status(cluster, running)["StateChangeReason"] == {}
    assert_gone(cluster, pid)


def test_what_concurrent_steps_may_not_say():
    made = start(StepConcurrencyLevel=2)
    for action in ("CANCEL_AND_WAIT", "TERMINATE_CLUSTER"):
        with pytest.raises(ClientError, match=f"Action on failure '{action}' is invalid"):
            emr.add_job_flow_steps(JobFlowId=made, Steps=[bash("true", action)])


def test_no_process_outlives_its_cluster(marks):
    made = start()
    step = emr.add_job_flow_steps(
        JobFlowId=made, Steps=[bash(f"setsid sleep 1000 > /dev/null 2>&1 & echo $! > {marks}/pid")]
    )["StepIds"][0]
    assert end_of_step(made, step)["State"] == "COMPLETED"
    pid = int((marks / "pid").read_text())
    assert process_of(made, pid) is not None
    emr.terminate_job_flows(JobFlowIds=[made])
    assert end_of_cluster(made)["StateChangeReason"]["Code"] == "USER_REQUEST"
    assert_gone(made, pid)


def test_a_step_that_is_killed_by_a_signal_has_failed(cluster):
    step = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[bash("kill -9 $$")])["StepIds"][0]
    assert end_of_step(cluster, step)["State"] == "FAILED"


def test_logs_are_on_s3_when_the_end_is_seen(s3):
    s3.create_bucket(Bucket="log-bucket")
    made = start(LogUri="s3://log-bucket/emr/")
    step = emr.add_job_flow_steps(JobFlowId=made, Steps=[bash("echo out; echo err >&2; exit 7")])["StepIds"][
        0
    ]
    details = end_of_step(made, step)["FailureDetails"]
    prefix = f"emr/{made}/steps/{step}"
    assert details["LogFile"] == f"s3://log-bucket/{prefix}/stderr.gz"

    def log(name):
        return gzip.decompress(
            s3.get_object(Bucket="log-bucket", Key=f"{prefix}/{name}.gz")["Body"].read()
        ).decode()

    assert (log("stdout"), log("stderr"), log("syslog")) == ("out\n", "err\n", "")
    assert "WARN Step failed with exitCode 7" in log("controller")


def test_a_log_bucket_that_does_not_exist_harms_no_step():
    made = start(LogUri="s3://no-such-bucket/emr/")
    step = emr.add_job_flow_steps(JobFlowId=made, Steps=[bash("true")])["StepIds"][0]
    assert end_of_step(made, step)["State"] == "COMPLETED"


def test_a_script_and_a_missing_one(cluster, s3, scratch):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/job.sh", Body=b"#!/bin/sh\necho $1 > $2\n")
    done = scratch.path / "done"

    def script(name):
        jar = "s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar"
        return {
            "Name": name,
            "HadoopJarStep": {"Jar": jar, "Args": [f"{scratch}/{name}", "hello", str(done)]},
        }

    steps = [{**script(name), "ActionOnFailure": "CONTINUE"} for name in ("job.sh", "missing.sh")]
    first, second = emr.add_job_flow_steps(JobFlowId=cluster, Steps=steps)["StepIds"]
    assert end_of_step(cluster, first)["State"] == "COMPLETED"
    assert done.read_text() == "hello\n"
    assert end_of_step(cluster, second)["State"] == "FAILED"


def test_bootstrap_actions(s3, scratch):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/ok.sh", Body=b"#!/bin/sh\necho $1 >> $2\n")
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/no.sh", Body=b"#!/bin/sh\nexit 1\n")
    order = scratch.path / "order"

    def action(name, *arguments):
        return {
            "Name": name,
            "ScriptBootstrapAction": {"Path": f"{scratch}/{name}.sh", "Args": list(arguments)},
        }

    good = [action("ok", "1", str(order)), action("ok", "2", str(order))]
    made = start(BootstrapActions=good)
    until(lambda: cluster_status(made), "WAITING")
    assert order.read_text() == "1\n2\n"
    assert [a["Name"] for a in emr.list_bootstrap_actions(ClusterId=made)["BootstrapActions"]] == ["ok", "ok"]

    lacking = start(BootstrapActions=[action("missing")])
    assert (
        "failed attempting to download bootstrap action 1 file from S3"
        in (end_of_cluster(lacking)["StateChangeReason"]["Message"])
    )
    failing = start(BootstrapActions=[*good, action("no")])
    status = end_of_cluster(failing)
    assert status["State"] == "TERMINATED_WITH_ERRORS"
    assert status["StateChangeReason"]["Code"] == "BOOTSTRAP_FAILURE"
    assert status["StateChangeReason"]["Message"].endswith(
        "bootstrap action 3 returned a non-zero return code"
    )


def test_a_bootstrap_action_that_never_ends_ends_with_its_cluster(s3, scratch):
    s3.put_object(
        Bucket=scratch.bucket,
        Key=f"{scratch.prefix}/hang.sh",
        Body=b"#!/bin/sh\necho $$ > $1\nexec sleep 1000\n",
    )
    pid = scratch.path / "pid"
    hang = {"Name": "h", "ScriptBootstrapAction": {"Path": f"{scratch}/hang.sh", "Args": [str(pid)]}}
    made = start(BootstrapActions=[hang])
    until(lambda: cluster_status(made), "BOOTSTRAPPING")
    running = written(pid)
    assert process_of(made, running) is not None
    emr.terminate_job_flows(JobFlowIds=[made])
    assert end_of_cluster(made)["State"] == "TERMINATED"
    assert_gone(made, running)


def test_termination_protection(cluster):
    made = start(Instances={"TerminationProtected": True})
    with pytest.raises(ClientError, match="termination protected"):
        emr.terminate_job_flows(JobFlowIds=[made])
    emr.set_termination_protection(JobFlowIds=[made], TerminationProtected=False)
    emr.terminate_job_flows(JobFlowIds=[made])
    end_of_cluster(made)
    with pytest.raises(ClientError, match="shutting down, terminated, or finished"):
        emr.add_job_flow_steps(JobFlowId=made, Steps=[bash("true")])


def test_a_cluster_of_steps_alone_takes_its_first_one_after_it_was_made(marks):
    made = start(keep=False)
    assert cluster_status(made)["State"] == "STARTING"
    # What instances of EMR take minutes for, and less than the time that there is for it.
    time.sleep(2)
    emr.add_job_flow_steps(JobFlowId=made, Steps=[bash(f"touch {marks}/ran")])
    assert end_of_cluster(made)["StateChangeReason"]["Code"] == "ALL_STEPS_COMPLETED"
    assert (marks / "ran").exists()


def test_a_cluster_of_steps_alone_without_any_ends_all_the_same():
    made = start(keep=False)
    assert end_of_cluster(made)["StateChangeReason"]["Code"] == "ALL_STEPS_COMPLETED"


def test_keep_alive_can_be_taken_away():
    made = start()
    until(lambda: cluster_status(made), "WAITING")
    emr.set_keep_job_flow_alive_when_no_steps(JobFlowIds=[made], KeepJobFlowAliveWhenNoSteps=False)
    assert end_of_cluster(made)["StateChangeReason"]["Code"] == "ALL_STEPS_COMPLETED"


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"),
    [
        (
            "describe_cluster",
            {"ClusterId": "j-NO"},
            "InvalidRequestException",
            "Cluster id 'j-NO' is not valid.",
        ),
        ("list_steps", {"ClusterId": "j-NO"}, "InvalidRequestException", "Cluster id 'j-NO' is not valid."),
        (
            "terminate_job_flows",
            {"JobFlowIds": ["j-NO"]},
            "ValidationException",
            "Specified job flow ID not valid.",
        ),
        (
            "put_auto_termination_policy",
            {"AutoTerminationPolicy": {"IdleTimeout": 5}},
            "ValidationException",
            "60",
        ),
        ("modify_cluster", {"StepConcurrencyLevel": 257}, "ValidationException", "256"),
        ("describe_step", {"StepId": "s-NO"}, "InvalidRequestException", "Step id 's-NO' is not valid."),
        (
            "add_job_flow_steps",
            {"Steps": [{**bash("true"), "ActionOnFailure": "EXPLODE"}]},
            "ValidationException",
            "enum value set",
        ),
    ],
)
def test_what_is_refused(cluster, operation, request_, code, message):
    if not {"ClusterId", "JobFlowIds"} & set(request_):
        request_ = {"JobFlowId" if operation == "add_job_flow_steps" else "ClusterId": cluster, **request_}
    with pytest.raises(ClientError) as caught:
        getattr(emr, operation)(**request_)
    assert caught.value.response["Error"]["Code"] == code
    assert message in caught.value.response["Error"]["Message"]


def test_no_more_than_256_active_steps():
    made = start()
    steps = [bash("sleep 1000"), *[bash("true")] * 255]
    added = []
    while steps:
        added += emr.add_job_flow_steps(JobFlowId=made, Steps=steps[:100])["StepIds"]
        steps = steps[100:]
    with pytest.raises(ClientError, match="Maximum number of active steps"):
        emr.add_job_flow_steps(JobFlowId=made, Steps=[bash("true")])
    listed = [
        step for page in emr.get_paginator("list_steps").paginate(ClusterId=made) for step in page["Steps"]
    ]
    assert [step["Id"] for step in listed] == added[::-1]
    emr.terminate_job_flows(JobFlowIds=[made])
    end_of_cluster(made)


def test_list_clusters(cluster):
    pages = emr.get_paginator("list_clusters").paginate(ClusterStates=["WAITING"])
    assert cluster in [found["Id"] for page in pages for found in page["Clusters"]]
    assert emr.list_clusters(CreatedBefore=time.time() - 3600)["Clusters"] == []


def test_run_step(run_step, emr_cluster):
    result = run_step("bash", "-c", "echo out; echo err >&2")
    assert (result.state, result.stdout, result.stderr) == ("COMPLETED", "out\n", "err\n")
    assert result.cluster_id == emr_cluster
    failed = run_step("bash", "-c", "exit 1", check=False)
    assert failed.state == "FAILED"
    with pytest.raises(Exception, match=r"IE401.*FAILED"):
        run_step("bash", "-c", "echo reason >&2; exit 1")


def test_make_cluster(make_cluster, run_step):
    made = make_cluster(Name="mine", Tags=[{"Key": "team", "Value": "data"}])
    described = emr.describe_cluster(ClusterId=made)["Cluster"]
    assert (described["Name"], described["Tags"]) == ("mine", [{"Key": "team", "Value": "data"}])
    assert run_step("true", cluster=made).state == "COMPLETED"
