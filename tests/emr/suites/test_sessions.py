"""Spark Connect sessions through boto3 and PySpark's Connect client, as user code has them."""

import base64
import gzip
import hashlib
import hmac
import os
import struct
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

emr = boto3.client("emr")
ENDED = ("TERMINATED", "FAILED")
RELEASE = "emr-spark-8.0.0"

CLIENT = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
try:
    exec(sys.argv[2])
finally:
    spark.stop()
"""


def until(look, *wanted):
    deadline = time.monotonic() + 120
    while (seen := look())["State"] not in wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


def cluster_status(cluster):
    return emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]


def describe(cluster, session):
    return emr.get_session(ClusterId=cluster, SessionId=session)["Session"]


def start(cluster, name="s", **request):
    return emr.start_session(ClusterId=cluster, Name=name, **request)["Id"]


def ready(cluster, session):
    described = until(lambda: describe(cluster, session), "IDLE", "BUSY", *ENDED)
    assert described["State"] in ("IDLE", "BUSY"), described
    return session


def end(cluster, session):
    emr.terminate_session(ClusterId=cluster, SessionId=session)
    return until(lambda: describe(cluster, session), *ENDED)


def url_of(cluster, session, token=None, named=None):
    """Return where to connect, as it is on AWS too."""
    answer = emr.get_session_endpoint(ClusterId=cluster, SessionId=session)
    endpoint = urlsplit(answer["Endpoint"])
    ssl = "use_ssl=true;" if endpoint.scheme == "https" else ""
    where = f"sc://{endpoint.hostname}:{endpoint.port or 443}"
    return f"{where}/;{ssl}x-aws-proxy-auth={token or answer['AuthToken']};authorization={named or session}"


def connect(url, code):
    """Run code with a client of its own: in this process PySpark is the plugin's."""
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, url, code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(url, code):
    client = connect(url, code)
    stdout, stderr = client.communicate(timeout=120)
    assert client.returncode == 0, stderr
    return stdout


def refusal(url):
    client = connect(url, "print(spark.range(1).count())")
    stdout, stderr = client.communicate(timeout=120)
    assert client.returncode != 0
    assert stdout == ""
    assert "UNAUTHENTICATED" in stderr
    return stderr


def servers_of(*sessions):
    """Return the processes of sessions' servers."""
    return [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("ISOLATED_EMR_SESSION_DIRECTORY", "").endswith(sessions)
    ]


def directory_of(isolated_emr, cluster, session):
    return isolated_emr._session.directory / "clusters" / cluster / "sessions" / session


def make_cluster(**request):
    instances = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    defaults = {
        "Name": "sessions",
        "ReleaseLabel": RELEASE,
        "Applications": [{"Name": "Spark"}],
        "JobFlowRole": "EMR_EC2_DefaultRole",
        "ServiceRole": "EMR_DefaultRole",
        "SessionEnabled": True,
    }
    made = emr.run_job_flow(**defaults | request, Instances=instances)["JobFlowId"]
    until(lambda: cluster_status(made), "WAITING")
    return made


@pytest.fixture(scope="module")
def cluster():
    return make_cluster()


@pytest.fixture(scope="module")
def session(cluster):
    return ready(cluster, start(cluster, "shared", Tags=[{"Key": "k", "Value": "v"}]))


@pytest.fixture(scope="module", autouse=True)
def idle():
    """A session that is left alone while the other tests run, on a cluster that may be idle for no longer."""
    made = make_cluster(AutoTerminationPolicy={"IdleTimeout": 60})
    return made, ready(made, start(made, SessionIdleTimeoutInMinutes=1))


def test_states(cluster, session):
    started = emr.start_session(ClusterId=cluster, Name="states", SessionIdleTimeoutInMinutes=90)
    assert started["State"] == "SUBMITTED"
    assert started["Arn"].endswith(f":cluster/{cluster}/session/{started['Id']}")
    mine, seen = started["Id"], [started["State"]]
    deadline = time.monotonic() + 120
    while seen[-1] not in ENDED:
        assert time.monotonic() < deadline, seen
        described = describe(cluster, mine)
        if described["State"] != seen[-1]:
            seen.append(described["State"])
        if described["State"] == "IDLE":
            assert described["IdleSince"] >= described["StartedAt"] >= described["CreatedAt"]
            answer = emr.terminate_session(ClusterId=cluster, SessionId=mine)
            assert answer == {**answer, "ClusterId": cluster, "SessionId": mine, "State": "TERMINATING"}
        time.sleep(1)
    assert seen == ["SUBMITTED", "STARTING", "STARTED", "IDLE", "TERMINATING", "TERMINATED"]
    assert described["Name"] == "states"
    assert described["SessionIdleTimeoutInMinutes"] == 90
    assert described["ReleaseLabel"] == RELEASE
    assert described["EndedAt"] >= described["StartedAt"]
    assert "terminated by user request" in described["StateChangeReason"]
    assert not servers_of(mine)


JOB = """
from pyspark.sql.functions import udf
target = {target!r}
spark.createDataFrame([("a", 1), ("a", 2), ("b", 3)], "k string, v int").write.parquet(target)
twice = udf(lambda value: value * 2, "int")
rows = spark.read.parquet(target).select("k", twice("v").alias("v")).groupBy("k").sum("v").orderBy("k").collect()
print([tuple(row) for row in rows])
"""


def test_reading_and_writing_s3(cluster, session, scratch, s3):
    target = f"{scratch}/out"
    assert printed(url_of(cluster, session), JOB.format(target=target)) == "[('a', 6), ('b', 6)]\n"
    listed = s3.list_objects_v2(Bucket=scratch.bucket, Prefix=f"{scratch.prefix}/out/")["Contents"]
    assert any(item["Key"].endswith("_SUCCESS") for item in listed)
    # Stopping a client ends nothing but its connection.
    assert describe(cluster, session)["State"] == "IDLE"


def test_a_client_in_the_tests_own_process(cluster, session):
    from pyspark.sql.connect.session import SparkSession

    spark = SparkSession.builder.remote(url_of(cluster, session)).create()
    try:
        assert spark.range(3).count() == 3
    finally:
        spark.stop()


def test_two_sessions_on_a_cluster(cluster, session, scratch):
    settings = {
        "spark.sql.shuffle.partitions": "3",
        "spark.hadoop.fs.s3a.endpoint": "s3.amazonaws.com",
        "spark.connect.grpc.interceptor.classes": "",
    }
    asked = [{"Classification": "spark-defaults", "Properties": settings}]
    other = ready(cluster, start(cluster, "other", EngineConfigurations=asked))
    assert describe(cluster, other)["EngineConfigurations"] == asked
    code = "print(spark.conf.get('spark.sql.shuffle.partitions'))"
    assert printed(url_of(cluster, other), code) == "3\n"
    assert printed(url_of(cluster, session), code) == "1\n"
    assert servers_of(session)[0] != servers_of(other)[0]
    token = emr.get_session_endpoint(ClusterId=cluster, SessionId=session)["AuthToken"]
    assert "the token is not valid" in refusal(url_of(cluster, other, token=token))
    assert printed(url_of(cluster, other), JOB.format(target=f"{scratch}/out")).endswith("('b', 6)]\n")
    processes = servers_of(other)
    assert len(processes) > 1
    assert end(cluster, other)["State"] == "TERMINATED"
    # Python's workers end as they see the end of their JVM.
    psutil.wait_procs(processes, timeout=60)
    assert servers_of(other) == []
    assert describe(cluster, session)["State"] == "IDLE"
    with pytest.raises(ClientError, match="TERMINATED") as caught:
        emr.get_session_endpoint(ClusterId=cluster, SessionId=other)
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"
    # Ending it again changes nothing.
    assert emr.terminate_session(ClusterId=cluster, SessionId=other)["State"] == "TERMINATED"


def test_a_session_is_busy_while_operations_run(cluster, session, tmp_path):
    begun, go = tmp_path / "begun", tmp_path / "go"
    code = f"""
from pyspark.sql.functions import udf
@udf("int")
def wait(value):
    import os, time
    open({str(begun)!r}, "w").close()
    while not os.path.exists({str(go)!r}):
        time.sleep(0.02)
    return 1
print(spark.range(1).select(wait("id")).collect()[0][0])
"""
    client = connect(url_of(cluster, session), code)
    try:
        # Calls before that one are over in a moment, with idle ones between them.
        deadline = time.monotonic() + 120
        while not begun.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        seen = describe(cluster, session)
        assert seen["State"] == "BUSY"
        assert "IdleSince" not in seen
    finally:
        go.touch()
        stdout, stderr = client.communicate(timeout=120)
    assert stdout == "1\n", stderr
    until(lambda: describe(cluster, session), "IDLE")


def signed(key, expires):
    content = struct.pack(">q", int(expires * 1000)) + os.urandom(16)
    token = content + hmac.new(key, content, hashlib.sha256).digest()
    return "v2.local." + base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def test_who_is_refused(cluster, session, isolated_emr):
    key = (directory_of(isolated_emr, cluster, session) / "key").read_bytes()
    good = signed(key, time.time() + 60)
    refused = {
        url_of(cluster, session, token="wrong"): "x-aws-proxy-auth must be a token",
        url_of(cluster, session, token="v2.local.AAAA"): "the token is not valid",
        url_of(cluster, session, token=signed(os.urandom(32), time.time() + 60)): "the token is not valid",
        url_of(cluster, session, token=signed(key, time.time() - 1)): "the token has expired",
        url_of(cluster, session, token=good, named="is-ANOTHER"): "must be the id of the session",
        url_of(cluster, session).partition("/;")[0]: "x-aws-proxy-auth must be a token",
    }
    for url, reason in refused.items():
        assert reason in refusal(url)
    assert printed(url_of(cluster, session, token=good), "print(spark.range(1).count())") == "1\n"


def test_tokens(cluster, session):
    first, second = (emr.get_session_endpoint(ClusterId=cluster, SessionId=session) for _ in range(2))
    assert first["Endpoint"] == second["Endpoint"]
    assert first["AuthToken"] != second["AuthToken"]
    left = first["AuthTokenExpirationTime"] - datetime.now(timezone.utc)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


def test_lists(cluster, session):
    everything = [
        one
        for page in emr.get_paginator("list_sessions").paginate(ClusterId=cluster)
        for one in page["Sessions"]
    ]
    created = [one["CreatedAt"] for one in everything]
    assert created == sorted(created, reverse=True)
    assert everything[-1] == describe(cluster, session)
    assert everything[-1]["Tags"] == [{"Key": "k", "Value": "v"}]
    assert everything[-1]["SessionIdleTimeoutInMinutes"] == 60
    one_by_one, more = [], {}
    while not one_by_one or more:
        page = emr.list_sessions(ClusterId=cluster, MaxResults=1, **more)
        one_by_one += page["Sessions"]
        more = {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    assert [one["Id"] for one in one_by_one] == [one["Id"] for one in everything]
    assert len(one_by_one) > 1
    active = emr.list_sessions(ClusterId=cluster, SessionStates=["IDLE", "BUSY"])["Sessions"]
    assert [one["Id"] for one in active] == [session]


def test_a_request_that_is_sent_twice(cluster):
    request = {"ClusterId": cluster, "Name": "once", "ClientRequestToken": "token"}
    first, second = emr.start_session(**request), emr.start_session(**request)
    assert (first["Id"], first["Arn"]) == (second["Id"], second["Arn"])
    assert end(cluster, first["Id"])["State"] == "TERMINATED"


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("start_session", {"ClusterId": "j-NONE", "Name": "s"}, "Cluster id 'j-NONE' is not valid."),
        ("list_sessions", {"ClusterId": "j-NONE"}, "Cluster id 'j-NONE' is not valid."),
        ("get_session", {"SessionId": "is-NONE"}, "Session id 'is-NONE' is not valid."),
        ("get_session_endpoint", {"SessionId": "is-NONE"}, "Session id 'is-NONE' is not valid."),
        ("terminate_session", {"SessionId": "is-NONE"}, "Session id 'is-NONE' is not valid."),
        ("start_session", {}, "name must not be empty"),
        ("start_session", {"Name": ""}, "name must not be empty"),
        ("start_session", {"Name": "s", "SessionIdleTimeoutInMinutes": 0}, "between 1 and 1440"),
        ("start_session", {"Name": "s", "SessionIdleTimeoutInMinutes": 1441}, "between 1 and 1440"),
        ("list_sessions", {"MaxResults": 101}, "less than or equal to 100"),
        ("list_sessions", {"SessionStates": ["GONE"]}, "satisfy enum value set"),
        ("list_sessions", {"NextToken": "no"}, "NextToken 'no' is not valid."),
    ],
)
def test_what_is_refused(cluster, operation, request_, message):
    with pytest.raises(ClientError, match=message) as caught:
        getattr(emr, operation)(**{"ClusterId": cluster} | request_)
    expected = (
        "ValidationException" if "satisf" in message or "equal to" in message else "InvalidRequestException"
    )
    assert caught.value.response["Error"]["Code"] == expected


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"SessionEnabled": False}, "not enabled"),
        ({"ReleaseLabel": "emr-7.10.0"}, "emr-spark-8.0.0 and later"),
    ],
)
def test_clusters_without_sessions(request_, message):
    made = make_cluster(**request_)
    described = emr.describe_cluster(ClusterId=made)["Cluster"]
    assert described["SessionEnabled"] is request_.get("SessionEnabled", True)
    with pytest.raises(ClientError, match=message) as caught:
        start(made)
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"
    assert emr.list_sessions(ClusterId=made)["Sessions"] == []
    emr.terminate_job_flows(JobFlowIds=[made])


def test_a_server_that_does_not_start(cluster):
    asked = [{"Classification": "spark-defaults", "Properties": {"spark.driver.memory": "much"}}]
    mine = start(cluster, EngineConfigurations=asked)
    failed = until(lambda: describe(cluster, mine), *ENDED)
    assert failed["State"] == "FAILED"
    assert "much" in failed["StateChangeReason"]
    assert "StartedAt" not in failed


def test_a_server_that_is_killed(cluster):
    mine = ready(cluster, start(cluster))
    servers_of(mine)[0].kill()
    failed = until(lambda: describe(cluster, mine), *ENDED)
    assert failed["State"] == "FAILED"
    assert "signal 9" in failed["StateChangeReason"]
    assert failed["EndedAt"] >= failed["StartedAt"]


def test_a_server_that_hangs_is_killed(cluster):
    mine = ready(cluster, start(cluster))
    server = servers_of(mine)[0]
    server.suspend()
    assert end(cluster, mine)["State"] == "TERMINATED"
    assert not server.is_running()


def test_logs_of_a_session(cluster, s3, scratch):
    logging = {"Enabled": True, "LogUri": f"{scratch}/mine"}
    mine = ready(cluster, start(cluster, MonitoringConfiguration={"S3LoggingConfiguration": logging}))
    ended = end(cluster, mine)
    assert ended["MonitoringConfiguration"] == {"S3LoggingConfiguration": logging}
    logs = s3.list_objects_v2(Bucket=scratch.bucket, Prefix=f"{scratch.prefix}/mine/{cluster}/containers/")
    names = {item["Key"].rpartition("/")[2] for item in logs["Contents"]}
    assert names == {"stdout.gz", "stderr.gz"}


def test_the_end_of_a_cluster_ends_its_sessions(session, s3, scratch):
    made = make_cluster(LogUri=f"{scratch}/logs")
    running = ready(made, start(made))
    with pytest.raises(ClientError, match="is not valid"):
        emr.get_session(ClusterId=made, SessionId=session)
    server = servers_of(running)[0]
    starting = start(made)
    emr.terminate_job_flows(JobFlowIds=[made])
    with pytest.raises(ClientError, match="RUNNING or WAITING"):
        start(made)
    until(lambda: cluster_status(made), "TERMINATED")
    for mine in (running, starting):
        ended = describe(made, mine)
        assert ended["State"] == "TERMINATED"
        assert "cluster" in ended["StateChangeReason"]
    assert not server.is_running()
    assert servers_of(running, starting) == []
    logs = s3.list_objects_v2(Bucket=scratch.bucket, Prefix=f"{scratch.prefix}/logs/{made}/containers/")
    stderr = [item["Key"] for item in logs["Contents"] if item["Key"].endswith("stderr.gz")]
    texts = [gzip.decompress(s3.get_object(Bucket=scratch.bucket, Key=key)["Body"].read()) for key in stderr]
    assert any(b"Spark Connect server started" in text for text in texts)


def test_a_session_that_is_idle_ends(idle):
    made, mine = idle
    ended = until(lambda: describe(made, mine), *ENDED)
    assert ended["State"] == "TERMINATED"
    assert "idle timeout of 1 minute(s)" in ended["StateChangeReason"]
    assert timedelta(minutes=1) <= ended["EndedAt"] - ended["StartedAt"]
    # A cluster with a session is not idle: its own minute began when the session had ended.
    gone = cluster_status(made)["Timeline"].get("EndDateTime")
    assert gone is None or gone - ended["EndedAt"] >= timedelta(minutes=1)
    assert not servers_of(mine)
