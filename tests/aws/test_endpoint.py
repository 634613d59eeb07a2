from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Endpoint, Start


def test_it_serves_what_was_asked_before_it_was_ready(start_endpoint: Start) -> None:
    endpoint = start_endpoint([{"name": "empty", "directory": None}])
    assert endpoint.answer == {"ready": True}
    assert endpoint.client("s3").get_bucket_location(Bucket="empty")["LocationConstraint"] == "eu-west-1"


def test_buckets_hold_the_files_of_their_directories(start_endpoint: Start, tmp_path: Path) -> None:
    directory, secret = tmp_path / "data", tmp_path / "secret"
    (directory / "a" / "b c").mkdir(parents=True)
    (directory / "top.json").write_text("{}")
    (directory / "a" / "b c" / "ü.csv").write_text("x,y\n")
    (directory / "link.csv").symlink_to(directory / "top.json")
    secret.mkdir()
    (secret / "key").write_text("private")
    (directory / "leads-out").symlink_to(secret / "key")
    (directory / "leads-out-too").symlink_to(secret)

    endpoint = start_endpoint([{"name": "filled", "directory": str(directory)}])

    assert endpoint.keys("filled") == ["a/b c/ü.csv", "link.csv", "top.json"]
    stored = endpoint.client("s3").get_object(Bucket="filled", Key="top.json")
    assert stored["ContentType"] == "application/json"
    assert stored["Body"].read() == b"{}"


def test_a_directory_that_is_not_there_is_an_error(start_endpoint: Start, tmp_path: Path) -> None:
    endpoint = start_endpoint([{"name": "filled", "directory": str(tmp_path / "none")}])
    assert "no directory" in endpoint.answer["error"]
    assert endpoint.process.wait() == 1


def test_nonsense_on_standard_input_is_an_error() -> None:
    # Its input stays open: the end of that would end it as well.
    with subprocess.Popen(
        [sys.executable, "-m", "pytest_isolated_emr.aws.endpoint", "--fd", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"nonsense\n")
        process.stdin.flush()
        assert "error" in json.loads(process.stdout.readline())
        assert process.wait() == 1


def test_it_ends_with_its_standard_input(start_endpoint: Start) -> None:
    assert start_endpoint().end() == 0


def test_ctrl_c_leaves_it_and_sigterm_ends_it(start_endpoint: Start) -> None:
    endpoint = start_endpoint([{"name": "here", "directory": None}])
    endpoint.process.send_signal(signal.SIGINT)
    assert endpoint.keys("here") == []
    endpoint.process.terminate()
    assert endpoint.process.wait() == -signal.SIGTERM


def test_the_machines_settings_do_not_reach_moto(start_endpoint: Start) -> None:
    endpoint = start_endpoint(
        environ={
            "AWS_PROFILE": "no-such-profile",
            "MOTO_ACCOUNT_ID": "111111111111",
            "TEST_SERVER_MODE": "true",
        }
    )
    assert endpoint.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert endpoint.client("dynamodb").list_tables()["TableNames"] == []


def test_nothing_secret_is_in_the_command_line(endpoint: Endpoint) -> None:
    import psutil

    command = " ".join(psutil.Process(endpoint.process.pid).cmdline())
    assert endpoint.credentials.access_key_id not in command
    assert endpoint.credentials.secret_access_key not in command


def test_large_objects_are_files_in_its_temporary_directory(start_endpoint: Start, tmp_path: Path) -> None:
    import psutil

    endpoint = start_endpoint([{"name": "here", "directory": None}], {"TMPDIR": str(tmp_path)})
    endpoint.client("s3").put_object(Bucket="here", Key="large", Body=b"x" * 8_000_000)
    open_files = Path(f"/proc/{endpoint.process.pid}/fd")
    if not open_files.exists():
        paths = [file.path for file in psutil.Process(endpoint.process.pid).open_files()]
    else:
        paths = [os.readlink(link) for link in open_files.iterdir()]
    assert any(path.startswith(str(tmp_path)) for path in paths)


def test_a_prefix_is_emptied_with_all_versions_and_nothing_else(start_endpoint: Start) -> None:
    endpoint = start_endpoint([{"name": "here", "directory": None}])
    s3 = endpoint.client("s3")
    for key in ("a/1", "a/b/2", "ab", "b/a/1"):
        s3.put_object(Bucket="here", Key=key, Body=b"x" * 1_000)
    s3.put_bucket_versioning(Bucket="here", VersioningConfiguration={"Status": "Enabled"})
    for key in ("a/1", "a/3", "ab"):
        s3.put_object(Bucket="here", Key=key, Body=b"y")
    s3.delete_object(Bucket="here", Key="a/1")
    assert endpoint.ask({"emptied": {"bucket": "here", "prefix": "a/"}}) == {"ready": True}
    found = s3.list_object_versions(Bucket="here")
    assert [version["Key"] for version in found["Versions"]] == ["ab", "ab", "b/a/1"]
    assert "DeleteMarkers" not in found
    assert endpoint.ask({"emptied": {"bucket": "gone", "prefix": "a/"}}) == {"ready": True}


def test_a_missing_operation_is_said_at_once_in_the_services_words(endpoint: Endpoint) -> None:
    with pytest.raises(ClientError) as caught:
        endpoint.client("emr").list_studios()
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert "list_studios" in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_only_refusals_and_failures_are_logged_and_no_keys(start_endpoint: Start) -> None:
    endpoint = start_endpoint([{"name": "here", "directory": None}])
    stranger = "AKIA" + "Z" * 28
    endpoint.client("s3").put_object(Bucket="here", Key="quiet", Body=b"x")
    with pytest.raises(ClientError):
        endpoint.client("s3", key=stranger).get_object(Bucket="here", Key="loud")
    with pytest.raises(ClientError):
        endpoint.client("emr").list_studios()
    log = endpoint.log.read_text().splitlines()
    assert len(log) == 2
    assert "/here/loud" in log[0]
    assert "501" in log[1]
    assert stranger not in "".join(log)
    assert endpoint.credentials.access_key_id not in "".join(log)


def test_a_bucket_may_stand_before_the_host(endpoint: Endpoint) -> None:
    import http.client

    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="with.dots", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="with.dots", Key="a/b.txt", Body=b"found")
    host = endpoint.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    headers = {
        "Host": f"with.dots.localhost:{host.rpartition(':')[2]}",
        "Authorization": f"AWS {endpoint.credentials.access_key_id}:any",
    }
    connection.request("GET", "/a/b.txt", headers=headers)
    assert connection.getresponse().read() == b"found"


def test_the_policies_that_aws_itself_made_can_be_attached(start_endpoint: Start) -> None:
    iam = start_endpoint().client("iam")
    iam.create_role(RoleName="EMR_DefaultRole", AssumeRolePolicyDocument='{"Version": "2012-10-17"}')
    arn = "arn:aws:iam::aws:policy/service-role/AmazonElasticMapReduceRole"
    iam.attach_role_policy(RoleName="EMR_DefaultRole", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="EMR_DefaultRole")["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [arn]


@pytest.mark.parametrize("condition", ["IfNoneMatch", "IfMatch"])
def test_of_conditional_writes_at_once_one_succeeds(
    start_endpoint: Start, tmp_path: Path, condition: str
) -> None:
    # Its threads change places as often as they can.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.setswitchinterval(1e-6)\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    endpoint = start_endpoint([{"name": "here", "directory": None}], {"PYTHONPATH": path})
    clients = [endpoint.client("s3") for _ in range(8)]

    def write(client: Any, key: str, value: str, start: threading.Barrier) -> str:
        start.wait()
        try:
            client.put_object(Bucket="here", Key=key, Body=os.urandom(200_000), **{condition: value})
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "written"

    for turn in range(15):
        key, value, start = f"{condition}-{turn}", "*", threading.Barrier(len(clients))
        if condition == "IfMatch":
            value = clients[0].put_object(Bucket="here", Key=key, Body=b"first")["ETag"]
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = Counter(pool.map(write, clients, repeat(key), repeat(value), repeat(start)))
        assert answers == {"written": 1, "PreconditionFailed": len(clients) - 1}
