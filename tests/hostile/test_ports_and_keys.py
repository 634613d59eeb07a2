"""A neighbour that guesses another session's port, or has a key of another session's: it is told nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import psutil

from tests.conftest import environ_of_run

from .conftest import Start

#: Runs in a session and tells what it has: its endpoint, its key, and keys that its STS and IAM hand out.
TELLER = """
import boto3, json, os, sys
sts, iam = boto3.client("sts"), boto3.client("iam")
iam.create_user(UserName="robot")
role = "arn:aws:iam::123456789012:role/etl"
print(json.dumps({
    "url": os.environ["AWS_ENDPOINT_URL"],
    "own": os.environ["AWS_ACCESS_KEY_ID"],
    "role": sts.assume_role(RoleArn=role, RoleSessionName="run")["Credentials"]["AccessKeyId"],
    "session": sts.get_session_token()["Credentials"]["AccessKeyId"],
    "federated": sts.get_federation_token(Name="guest")["Credentials"]["AccessKeyId"],
    "user": iam.create_access_key(UserName="robot")["AccessKey"]["AccessKeyId"],
}), flush=True)
sys.stdin.read()
"""

#: Asks as another user, and prints the statuses of the answers. It has nothing of this project.
ASKER = """
import http.client, json, sys
statuses = []
for port, method, path, headers in json.load(sys.stdin):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers=headers)
    statuses.append(connection.getresponse().status)
    connection.close()
print(json.dumps(statuses))
"""

Request = tuple[str, str, dict[str, str]]


def _signed(key: str) -> Request:
    credential = f"{key}/20260101/eu-west-1/s3/aws4_request"
    header = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    return "GET", "/", {"Authorization": header}


def _signed_long_ago(key: str) -> Request:
    return "GET", "/", {"Authorization": f"AWS {key}:signature"}


def _presigned(key: str) -> Request:
    return "GET", f"/?X-Amz-Credential={quote(f'{key}/20260101/eu-west-1/s3/aws4_request')}", {}


def _by_our_header(key: str) -> Request:
    return "GET", "/", {"x-isolated-emr-key": key}


WAYS: dict[str, Callable[[str], Request]] = {
    "a signature": _signed,
    "an old signature": _signed_long_ago,
    "a presigned URL": _presigned,
    "the JVM's header": _by_our_header,
}
NO_KEYS: dict[str, Request] = {
    "nothing": ("GET", "/", {}),
    "an empty header": ("GET", "/", {"Authorization": ""}),
    "an empty key": _signed(""),
    "an empty key in the JVM's header": _by_our_header(""),
    "no key, but a token": ("GET", "/", {"X-Amz-Security-Token": "token"}),
    "a bearer": ("GET", "/", {"Authorization": "Bearer token"}),
    "moto's reset": ("POST", "/moto-api/reset", {}),
    "moto's data": ("GET", "/moto-api/data.json", {}),
    "an example of AWS's": _signed("AKIAIOSFODNN7EXAMPLE"),
}


def start_session(start: Start, home) -> dict[str, str]:
    command = [sys.executable, "-m", "pytest_isolated_emr.cli", "exec", "--", sys.executable, "-c", TELLER]
    process = start(*command, env=environ_of_run(home))
    told: dict[str, str] = json.loads(process.stdout.readline())
    return told


def ask(requests: list[tuple[int, Request]], before: tuple[str, ...]) -> list[int]:
    listed = [[port, *request] for port, request in requests]
    result = subprocess.run(
        [*before, sys.executable, "-I", "-c", ASKER], input=json.dumps(listed), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    statuses: list[int] = json.loads(result.stdout)
    return statuses


def test_no_key_of_one_session_is_taken_by_another(home, start, as_nobody):
    one, two = start_session(start, home), start_session(start, home)
    ports = [urlsplit(session.pop("url")).port for session in (one, two)]
    assert not set(one.values()) & set(two.values())
    cases = {
        (place, kind, way): (port, make(key))
        for place, port, keys in (("at one", ports[0], two), ("at two", ports[1], one))
        for kind, key in keys.items()
        for way, make in WAYS.items()
    }
    cases |= {("at one", "none", what): (ports[0], request) for what, request in NO_KEYS.items()}
    # Whoever the neighbour is, and this user's own processes as well.
    for before in (as_nobody, ()):
        statuses = ask(list(cases.values()), before)
        assert dict(zip(cases, statuses, strict=True)) == dict.fromkeys(cases, 403)
    # At their own session they are good, in each of the ways. The key is the proof, whoever has it.
    own = {(kind, way): (ports[0], make(key)) for kind, key in one.items() for way, make in WAYS.items()}
    assert dict(zip(own, ask(list(own.values()), as_nobody), strict=True)) == dict.fromkeys(own, 200)


def test_it_is_on_no_other_address_of_this_machine(home, start):
    port = urlsplit(start_session(start, home)["url"]).port
    listening = [found.laddr for found in psutil.net_connections("tcp") if found.status == "LISTEN"]
    assert {address.ip for address in listening if address.port == port} == {"127.0.0.1"}
