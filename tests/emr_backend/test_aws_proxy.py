"""Each fault does what it says: seen by boto3 through the proxy, with its effect looked up past it."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from pytest_isolated_emr.backends.emr import account as account_module
from pytest_isolated_emr.backends.emr.lease import Lease, LeaseBody, read_lease
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from tests.emr_backend.answers import Aged, Change, EventualTags, LaggingList, SkewedClock, StuckStarting
from tests.emr_backend.aws_calls import recognise
from tests.emr_backend.aws_proxy import AwsProxy
from tests.emr_backend.faults import Fault, Plan, Rule
from tests.emr_backend.s3_endpoint import REGION, Scratch

ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")


@dataclass
class Aws:
    """AWS by one way: through a proxy or past it."""

    url: str
    variables: dict[str, str]
    attempts: int = 1

    def client(self, service: str) -> Any:
        return boto3.Session().client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"mode": "standard", "total_max_attempts": self.attempts}),
        )


class Clusters:
    """Clusters of one test, and what is true of them."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.name = f"proxied-{uuid.uuid4()}"

    def launch(self, emr: Any) -> str:
        return str(
            emr.run_job_flow(
                Name=self.name,
                ReleaseLabel="emr-7.10.0",
                Instances={
                    "MasterInstanceType": "m5.xlarge",
                    "InstanceCount": 1,
                    "KeepJobFlowAliveWhenNoSteps": True,
                },
                JobFlowRole="EMR_EC2_DefaultRole",
                ServiceRole="EMR_DefaultRole",
                Tags=[{"Key": "of", "Value": self.name}],
            )["JobFlowId"]
        )

    def ids(self, emr: Any | None = None) -> list[str]:
        pages = (emr or self._real).get_paginator("list_clusters").paginate()
        return [each["Id"] for page in pages for each in page["Clusters"] if each["Name"] == self.name]

    def state(self, cluster: str, emr: Any | None = None) -> str:
        return str(self.described(cluster, emr)["Status"]["State"])

    def described(self, cluster: str, emr: Any | None = None) -> dict[str, Any]:
        told: dict[str, Any] = (emr or self._real).describe_cluster(ClusterId=cluster)["Cluster"]
        return told

    def end(self) -> None:
        for cluster in self.ids():
            self._real.terminate_job_flows(JobFlowIds=[cluster])


@pytest.fixture
def real(aws_variables: dict[str, str]) -> Aws:
    return Aws(aws_variables["AWS_ENDPOINT_URL"], aws_variables)


@pytest.fixture
def clusters(real: Aws) -> Iterator[Clusters]:
    clusters = Clusters(real.client("emr"))
    yield clusters
    clusters.end()


Through = Callable[..., tuple[AwsProxy, Aws]]


@pytest.fixture
def through(real: Aws) -> Iterator[Through]:
    """Start a proxy with rules or changes, and say how AWS is reached by it."""
    proxies: list[AwsProxy] = []

    def start(*rules: Rule, changes: tuple[Change, ...] = (), attempts: int = 1) -> tuple[AwsProxy, Aws]:
        proxy = AwsProxy(real.url, Plan(rules), changes)
        proxies.append(proxy)
        proxy.__enter__()
        return proxy, Aws(proxy.url, real.variables, attempts)

    yield start
    for proxy in proxies:
        proxy.__exit__(None, None, None)


def test_nothing_happens_to_what_no_rule_is_for(
    through: Through, clusters: Clusters, scratch: Scratch
) -> None:
    proxy, aws = through()
    emr, s3 = aws.client("emr"), aws.client("s3")
    cluster = clusters.launch(emr)
    assert clusters.ids() == [cluster]
    assert clusters.described(cluster, emr)["Tags"] == [{"Key": "of", "Value": clusters.name}]
    keys = ["a", "päth/with space+and%20", "big"]
    bodies = [b"", b"x" * 100, bytes(range(256)) * 40_000]
    for key, body in zip(keys, bodies, strict=True):
        s3.put_object(Bucket=scratch.bucket, Key=key, Body=body)
        assert scratch.s3.get_object(Bucket=scratch.bucket, Key=key)["Body"].read() == body
        assert s3.get_object(Bucket=scratch.bucket, Key=key)["Body"].read() == body
        assert s3.head_object(Bucket=scratch.bucket, Key=key)["ContentLength"] == len(body)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=scratch.bucket)["Contents"]] == sorted(keys)
    s3.delete_objects(Bucket=scratch.bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert scratch.everything() == []
    assert [served.fault for served in proxy.calls()] == [None] * len(proxy.calls())


def test_which_call_a_request_is(through: Through, scratch: Scratch) -> None:
    proxy, aws = through()
    s3, place = aws.client("s3"), {"Bucket": scratch.bucket, "Key": "a/b c"}
    s3.list_buckets()
    s3.head_bucket(Bucket=scratch.bucket)
    s3.get_bucket_location(Bucket=scratch.bucket)
    s3.put_object(**place, Body=b"x")
    s3.get_object(**place)
    s3.head_object(**place)
    s3.list_objects_v2(Bucket=scratch.bucket, Prefix="a")
    s3.list_object_versions(Bucket=scratch.bucket, Prefix="a", Delimiter="/")
    upload = s3.create_multipart_upload(**place)["UploadId"]
    s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"y")
    s3.list_parts(**place, UploadId=upload)
    s3.list_multipart_uploads(Bucket=scratch.bucket)
    s3.abort_multipart_upload(**place, UploadId=upload)
    s3.delete_object(**place, VersionId="null")
    s3.delete_objects(Bucket=scratch.bucket, Delete={"Objects": [{"Key": "a"}]})
    aws.client("sts").get_caller_identity()
    aws.client("ec2").describe_subnets()
    aws.client("iam").list_roles()
    aws.client("emr").list_clusters()
    assert [f"{served.call.service} {served.call.operation}" for served in proxy.calls()] == [
        "s3 ListBuckets",
        "s3 HeadBucket",
        "s3 GetBucketLocation",
        "s3 PutObject",
        "s3 GetObject",
        "s3 HeadObject",
        "s3 ListObjectsV2",
        "s3 ListObjectVersions",
        "s3 CreateMultipartUpload",
        "s3 UploadPart",
        "s3 ListParts",
        "s3 ListMultipartUploads",
        "s3 AbortMultipartUpload",
        "s3 DeleteObject",
        "s3 DeleteObjects",
        "sts GetCallerIdentity",
        "ec2 DescribeSubnets",
        "iam ListRoles",
        "emr ListClusters",
    ]
    assert proxy.calls("GetObject")[0].call.parameters["Key"] == "a/b c"


ERRORS = [
    (Fault.THROTTLED, "s3", 503, "SlowDown", "Please reduce your request rate."),
    (Fault.THROTTLED, "emr", 400, "ThrottlingException", "Rate exceeded"),
    (Fault.THROTTLED, "sts", 400, "Throttling", "Rate exceeded"),
    (Fault.THROTTLED, "iam", 400, "Throttling", "Rate exceeded"),
    (Fault.THROTTLED, "ec2", 503, "RequestLimitExceeded", "Request limit exceeded."),
    (Fault.ERROR_BEFORE, "s3", 500, "InternalError", "internal error"),
    (Fault.ERROR_BEFORE, "emr", 500, "InternalFailure", "unknown error"),
    (Fault.ERROR_BEFORE, "sts", 500, "InternalFailure", "unknown error"),
    (Fault.ERROR_BEFORE, "ec2", 500, "InternalError", "internal error"),
    (Fault.EXPIRED, "s3", 400, "ExpiredToken", "has expired"),
    (Fault.EXPIRED, "emr", 400, "ExpiredTokenException", "is expired"),
    (Fault.EXPIRED, "sts", 403, "ExpiredToken", "is expired"),
    (Fault.EXPIRED, "ec2", 400, "RequestExpired", "has expired"),
    (Fault.DENIED, "s3", 403, "AccessDenied", "s3:ListBuckets"),
    (Fault.DENIED, "emr", 400, "AccessDeniedException", "elasticmapreduce:ListClusters"),
    (Fault.DENIED, "sts", 403, "AccessDenied", "sts:GetCallerIdentity"),
    (Fault.DENIED, "ec2", 403, "UnauthorizedOperation", "ec2:DescribeSubnets"),
    (Fault.SKEWED, "s3", 403, "RequestTimeTooSkewed", "too large"),
    (Fault.SKEWED, "emr", 400, "InvalidSignatureException", "Signature expired"),
]
CALLS = {
    "s3": "list_buckets",
    "emr": "list_clusters",
    "sts": "get_caller_identity",
    "iam": "list_roles",
    "ec2": "describe_subnets",
}


@pytest.mark.parametrize(("fault", "service", "status", "code", "words"), ERRORS)
def test_errors_are_in_the_services_own_words(
    through: Through, fault: Fault, service: str, status: int, code: str, words: str
) -> None:
    proxy, aws = through(Rule(fault))
    with pytest.raises(ClientError) as raised:
        getattr(aws.client(service), CALLS[service])()
    answer = raised.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert words in answer["Error"]["Message"]
    assert [served.fault for served in proxy.calls()] == [fault]


@pytest.mark.parametrize("fault", Fault)
def test_the_effect_of_a_launch(through: Through, clusters: Clusters, fault: Fault) -> None:
    proxy, aws = through(Rule(fault, ("RunJobFlow",)))
    with pytest.raises(ClientError if fault.has_answer else ConnectionClosedError):
        clusters.launch(aws.client("emr"))
    assert len(clusters.ids()) == (1 if fault.has_effect else 0)
    assert [served.status for served in proxy.calls()] == [200 if fault.has_effect else 0]
    proxy.heal()
    clusters.launch(aws.client("emr"))


@pytest.mark.parametrize("fault", [fault for fault in Fault if not fault.is_of_emr_alone])
def test_the_effect_of_a_write_and_of_a_deletion(through: Through, scratch: Scratch, fault: Fault) -> None:
    _, aws = through(Rule(fault))
    scratch.put("there")
    s3 = aws.client("s3")
    errors = ClientError if fault.has_answer else ConnectionClosedError
    with pytest.raises(errors):
        s3.put_object(Bucket=scratch.bucket, Key="new", Body=b"x")
    with pytest.raises(errors):
        s3.delete_object(Bucket=scratch.bucket, Key="there")
    left = [key for key, _ in scratch.everything()]
    assert left == (["new"] if fault.has_effect else ["there"])


def test_who_calls_is_killed_while_it_waits(through: Through, clusters: Clusters) -> None:
    killed: list[list[str]] = []
    for fault, count in ((Fault.KILLED_BEFORE, 0), (Fault.KILLED_AFTER, 1)):
        proxy, aws = through(Rule(fault, ("RunJobFlow",)))
        proxy.kill = lambda: killed.append(clusters.ids())
        with pytest.raises(ConnectionClosedError):
            clusters.launch(aws.client("emr"))
        assert len(killed.pop()) == count


def test_one_attempt_of_each_call(through: Through) -> None:
    """An SDK tries again, and is let through then."""
    proxy, aws = through(Rule(Fault.THROTTLED, attempts=1), attempts=3)
    emr = aws.client("emr")
    for _ in range(2):
        emr.list_clusters()
    assert [served.fault for served in proxy.calls()] == [Fault.THROTTLED, None] * 2


def test_the_second_of_a_calls(through: Through, scratch: Scratch) -> None:
    proxy, aws = through(
        Rule(Fault.DROPPED_BEFORE, ("ListClusters",), first=2, count=1, attempts=2), attempts=3
    )
    emr = aws.client("emr")
    for _ in range(3):
        emr.list_clusters()
    aws.client("sts").get_caller_identity()
    dropped = Fault.DROPPED_BEFORE
    assert [served.fault for served in proxy.calls()] == [None, dropped, dropped, None, None, None]


def test_a_fault_of_certain_objects(through: Through, scratch: Scratch) -> None:
    proxy, aws = through(Rule(Fault.DENIED, ("PutObject",), key="lease"))
    s3 = aws.client("s3")
    s3.put_object(Bucket=scratch.bucket, Key="a", Body=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=scratch.bucket, Key="run/lease.json", Body=b"x")
    assert [served.fault for served in proxy.calls("PutObject")] == [None, Fault.DENIED]


def test_from_a_moment_on(through: Through, clusters: Clusters) -> None:
    """Each call up to a launch is let through, that one too, and none after it until it is healed."""
    proxy, aws = through(Rule(Fault.EXPIRED, since=("RunJobFlow", 1)))
    emr = aws.client("emr")
    emr.list_clusters()
    cluster = clusters.launch(emr)
    for _ in range(2):
        with pytest.raises(ClientError, match="ExpiredTokenException"):
            emr.describe_cluster(ClusterId=cluster)
    proxy.heal()
    assert clusters.state(cluster, emr) not in ENDED


def test_only_what_is_named_is_denied(through: Through, clusters: Clusters) -> None:
    _, aws = through(Rule(Fault.DENIED, ("TerminateJobFlows",)))
    emr = aws.client("emr")
    cluster = clusters.launch(emr)
    with pytest.raises(ClientError, match="not authorized to perform: elasticmapreduce:TerminateJobFlows"):
        emr.terminate_job_flows(JobFlowIds=[cluster])
    assert clusters.state(cluster) not in ("TERMINATING", *ENDED)


def test_a_list_that_lags_by_answers(through: Through, clusters: Clusters) -> None:
    old = Clusters(clusters._real)
    old.name = clusters.name
    before = old.launch(clusters._real)
    _, aws = through(changes=(LaggingList(calls=2),))
    emr = aws.client("emr")
    cluster = clusters.launch(emr)
    assert [clusters.ids(emr) for _ in range(3)] == [[before], [before], [cluster, before]]
    assert clusters.ids() == [cluster, before]


def test_a_list_that_lags_by_time(through: Through, clusters: Clusters) -> None:
    lag = LaggingList(seconds=3600.0)
    _, aws = through(changes=(lag,))
    emr = aws.client("emr")
    cluster = clusters.launch(emr)
    assert clusters.ids(emr) == []
    assert clusters.state(cluster, emr) not in ENDED
    lag.seconds = 0.0
    assert clusters.ids(emr) == [cluster]


def test_a_list_that_lags_behind_a_launch_of_which_nobody_heard(through: Through, clusters: Clusters) -> None:
    rule = Rule(Fault.DROPPED_AFTER, ("RunJobFlow",))
    _, aws = through(rule, changes=(LaggingList(calls=1),))
    emr = aws.client("emr")
    with pytest.raises(ConnectionClosedError):
        clusters.launch(emr)
    assert [len(clusters.ids(emr)) for _ in range(2)] == [0, 1]


def test_tags_that_come_later(through: Through, clusters: Clusters) -> None:
    _, aws = through(changes=(EventualTags(2),))
    emr = aws.client("emr")
    cluster = clusters.launch(emr)
    told = [clusters.described(cluster, emr)["Tags"] for _ in range(3)]
    tags = [{"Key": "of", "Value": clusters.name}]
    assert told == [[], [], tags]
    assert clusters.described(cluster)["Tags"] == tags


def test_a_cluster_that_stays_in_starting(through: Through, clusters: Clusters) -> None:
    _, aws = through(changes=(StuckStarting(),))
    emr = aws.client("emr")
    cluster = clusters.launch(emr)
    clusters._real.get_waiter("cluster_running").wait(ClusterId=cluster, WaiterConfig={"Delay": 1})
    assert clusters.state(cluster, emr) == "STARTING"
    listed = emr.list_clusters(ClusterStates=["WAITING", "STARTING"])["Clusters"]
    assert {each["Status"]["State"] for each in listed if each["Id"] == cluster} == {"STARTING"}
    emr.terminate_job_flows(JobFlowIds=[cluster])
    clusters._real.get_waiter("cluster_terminated").wait(ClusterId=cluster, WaiterConfig={"Delay": 1})
    assert clusters.state(cluster, emr) == "TERMINATED"


@pytest.mark.parametrize("by", [timedelta(hours=5), timedelta(minutes=-10)])
def test_aws_has_one_clock(through: Through, clusters: Clusters, scratch: Scratch, by: timedelta) -> None:
    _, aws = through(changes=(SkewedClock(by),))
    s3, emr = aws.client("s3"), aws.client("emr")
    place = {"Bucket": scratch.bucket, "Key": "a"}
    s3.put_object(**place, Body=b"x")
    cluster = clusters.launch(emr)
    expected = datetime.now(timezone.utc) + by
    got = s3.get_object(**place)
    told = [
        datetime.strptime(
            got["ResponseMetadata"]["HTTPHeaders"]["date"], "%a, %d %b %Y %H:%M:%S GMT"
        ).replace(tzinfo=timezone.utc),
        got["LastModified"],
        s3.head_object(**place)["LastModified"],
        s3.list_objects_v2(Bucket=scratch.bucket)["Contents"][0]["LastModified"],
        s3.list_object_versions(Bucket=scratch.bucket)["Versions"][0]["LastModified"],
        clusters.described(cluster, emr)["Status"]["Timeline"]["CreationDateTime"],
        emr.list_clusters()["Clusters"][0]["Status"]["Timeline"]["CreationDateTime"],
    ]
    assert [moment for moment in told if abs(moment - expected) > timedelta(minutes=5)] == []


def test_time_that_passes_for_one_run_alone(through: Through, scratch: Scratch) -> None:
    runs = [new_run_id(), new_run_id()]
    for run_id in runs:
        body = LeaseBody.of_this_process(run_id, "alice", 900.0)
        Lease(scratch.account, scratch.bucket, f"{run_id}/lease.json", body).take()
    _, aws = through(changes=(Aged(runs[0]),))
    account = scratch.another_account()
    account._clients["s3", account_module._ATTEMPTS] = aws.client("s3")
    states = [read_lease(account, scratch.bucket, f"{run_id}/lease.json") for run_id in runs]
    assert [state.is_lapsed for state in states if state is not None] == [True, False]


def test_a_body_in_chunks(through: Through, scratch: Scratch) -> None:
    proxy, _ = through()
    address = urlsplit(proxy.url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port)
    url = scratch.s3.generate_presigned_url("put_object", Params={"Bucket": scratch.bucket, "Key": "a"})
    path = urlsplit(url)
    chunks = iter([b"one", b"two"])
    connection.request("PUT", f"{path.path}?{path.query}", body=chunks, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert scratch.s3.get_object(Bucket=scratch.bucket, Key="a")["Body"].read() == b"onetwo"


def test_an_unknown_request_is_still_one() -> None:
    call = recognise("PATCH", "/bucket/key?acl", {}, b"")
    assert (call.service, call.operation) == ("s3", "PATCH?acl")
