"""Who is let in by a real endpoint, and what those who are not get to read."""

from __future__ import annotations

import http.client
import io
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from pytest_isolated_emr.aws.access import KeyCheck, is_control_request
from pytest_isolated_emr.aws.credentials import SessionCredentials

from .conftest import REGION, Endpoint

OWN_HEADER = "x-isolated-emr-key"
STRANGER = "AKIA" + "Z" * 28

#: A call of each protocol, with the code that botocore raises for an unknown key.
CALLS = [
    ("s3", "list_buckets", {}, "InvalidAccessKeyId"),
    ("sts", "get_caller_identity", {}, "InvalidClientTokenId"),
    ("iam", "list_users", {}, "InvalidClientTokenId"),
    ("sqs", "list_queues", {}, "InvalidClientTokenId"),
    ("dynamodb", "list_tables", {}, "UnrecognizedClientException"),
    ("ec2", "describe_key_pairs", {}, "AuthFailure"),
    ("glue", "get_databases", {}, "UnrecognizedClientException"),
    ("emr", "list_clusters", {}, "UnrecognizedClientException"),
    ("lambda", "list_functions", {}, "UnrecognizedClientException"),
    ("route53", "list_hosted_zones", {}, "InvalidClientTokenId"),
    # SigV2, with the key in the body.
    ("sdb", "list_domains", {}, "InvalidClientTokenId"),
]


@pytest.mark.parametrize(("service", "operation", "arguments", "code"), CALLS)
def test_each_protocol_takes_the_sessions_key_and_refuses_others_in_its_own_words(
    endpoint: Endpoint, other: Endpoint, service: str, operation: str, arguments: dict[str, Any], code: str
) -> None:
    getattr(endpoint.client(service), operation)(**arguments)
    stranger = endpoint.client(service, key=other.credentials.access_key_id)
    with pytest.raises(ClientError) as caught:
        getattr(stranger, operation)(**arguments)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_head_gets_no_body(endpoint: Endpoint) -> None:
    with pytest.raises(ClientError) as caught:
        endpoint.client("s3", key=STRANGER).head_bucket(Bucket="here")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    # HTTP clients do not even look for one, hence without a server.
    check = KeyCheck(lambda environ, start_response: [b""], endpoint.credentials)
    refused = check({"REQUEST_METHOD": "HEAD", "PATH_INFO": "/here"}, lambda *args: None)
    assert b"".join(refused) == b""


def test_a_refusal_in_cbor_is_a_map_of_type_and_message(endpoint: Endpoint) -> None:
    answer = requests.post(endpoint.url, headers={"smithy-protocol": "rpc-v2-cbor"}, data=b"")
    assert answer.status_code == 403
    assert answer.content.startswith(b"\xa2\x79\x00\x06__type\x79\x00\x23MissingAuthenticationTokenException")


def test_without_a_key_nothing_is_served(endpoint: Endpoint) -> None:
    endpoint.client("s3").put_object(Bucket="here", Key="public", Body=b"x", ACL="public-read")
    answer = requests.get(f"{endpoint.url}/here/public")
    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code>" in answer.text
    assert requests.put(f"{endpoint.url}/here/anonymous", data=b"x").status_code == 403
    assert "anonymous" not in endpoint.keys("here")


def test_nothing_is_stored_by_a_refused_request(endpoint: Endpoint) -> None:
    with pytest.raises(ClientError):
        endpoint.client("s3", key=STRANGER).put_object(Bucket="here", Key="refused", Body=b"x" * 3_000_000)
    with pytest.raises(ClientError):
        endpoint.client("sqs", key=STRANGER).create_queue(QueueName="refused")
    assert "refused" not in endpoint.keys("here")
    assert "QueueUrls" not in endpoint.client("sqs").list_queues(QueueNamePrefix="refused")


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_presigned_urls(endpoint: Endpoint, signature: str) -> None:
    config = Config(signature_version=signature)
    for key, status in ((None, 200), (STRANGER, 403)):
        s3 = endpoint.client("s3", key=key, config=config)
        name = {"Bucket": "here", "Key": f"presigned-{signature}-{status}"}
        put = s3.generate_presigned_url("put_object", Params=name)
        assert requests.put(put, data=b"sent").status_code == status
        assert (name["Key"] in endpoint.keys("here")) == (status == 200)
        endpoint.client("s3").put_object(**name, Body=b"read")
        answer = requests.get(s3.generate_presigned_url("get_object", Params=name))
        assert answer.status_code == status
        assert (answer.content == b"read") == (status == 200)


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_presigned_posts(endpoint: Endpoint, signature: str, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    for key, accepted in ((None, True), (STRANGER, False)):
        name = f"posted-{signature}-{size}-{accepted}"
        s3 = endpoint.client("s3", key=key, config=Config(signature_version=signature))
        post = s3.generate_presigned_post("here", name)
        answer = requests.post(post["url"], data=post["fields"], files={"file": io.BytesIO(content)})
        assert answer.ok == accepted
        assert (name in endpoint.keys("here")) == accepted
        if accepted:
            stored = endpoint.client("s3").get_object(Bucket="here", Key=name)["Body"].read()
            assert stored == content
        else:
            assert answer.status_code == 403
            assert "InvalidAccessKeyId" in answer.text


def test_a_key_after_the_file_of_a_form_counts_for_nothing(endpoint: Endpoint) -> None:
    credential = f"{endpoint.credentials.access_key_id}/20260101/{REGION}/s3/aws4_request"
    parts = {"key": (None, "late"), "file": ("f", b"x"), "x-amz-credential": (None, credential)}
    assert requests.post(f"{endpoint.url}/here", files=parts).status_code == 403
    assert "late" not in endpoint.keys("here")


def test_two_authorization_headers_are_refused(endpoint: Endpoint) -> None:
    def signed(key: str) -> str:
        scope = f"{key}/20260101/{REGION}/s3/aws4_request"
        return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"

    own = endpoint.credentials.access_key_id
    assert status_of(endpoint, "GET", "/here", {"Authorization": signed(own)}) == 200
    for second in (signed(STRANGER), signed(own), f"AWS {STRANGER}:sig"):
        both = f"{signed(own)}\r\nAuthorization: {second}"
        assert status_of(endpoint, "GET", "/here", {"Authorization": both}) == 403


def test_every_key_of_a_request_has_to_be_the_sessions(endpoint: Endpoint) -> None:
    own, url = endpoint.credentials.access_key_id, f"{endpoint.url}/here?list-type=2"
    scope = f"20260101/{REGION}/s3/aws4_request"
    both = [
        ({"Authorization": f"AWS {own}:sig"}, {"X-Amz-Credential": f"{STRANGER}/{scope}"}),
        ({"Authorization": f"AWS {STRANGER}:sig"}, {"X-Amz-Credential": f"{own}/{scope}"}),
        ({}, [("X-Amz-Credential", f"{own}/{scope}"), ("X-Amz-Credential", f"{STRANGER}/{scope}")]),
        ({}, {"X-Amz-Credential": f"{own}/{scope}", "AWSAccessKeyId": STRANGER}),
        ({"Authorization": f"Bearer {own}"}, {"X-Amz-Credential": f"{own}/{scope}"}),
    ]
    for headers, query in both:
        assert requests.get(url, headers=headers, params=query).status_code == 403
    assert requests.get(url, headers={"Authorization": f"AWS {own}:sig"}).status_code == 200


def test_sigv4a_is_a_signature_too(endpoint: Endpoint) -> None:
    own = endpoint.credentials.access_key_id
    for key, status in ((own, 200), (STRANGER, 403)):
        fields = f"Credential={key}/20260101/s3/aws4_request, SignedHeaders=host, Signature=00"
        header = {"Authorization": f"AWS4-ECDSA-P256-SHA256 {fields}"}
        assert requests.get(f"{endpoint.url}/here", headers=header).status_code == status


def test_the_header_of_our_jvm_counts_whatever_the_request_is_signed_with(endpoint: Endpoint) -> None:
    own = {OWN_HEADER: endpoint.credentials.access_key_id}
    url = f"{endpoint.url}/here/of-the-jvm"
    assert requests.put(url, data=b"x", headers=own).status_code == 200
    assert requests.get(url, headers=own).content == b"x"
    assert requests.get(url, headers=own | {"Authorization": "AWS minioadmin:sig"}).content == b"x"
    assert requests.get(url, headers={OWN_HEADER: STRANGER}).status_code == 403
    assert requests.get(url, headers={OWN_HEADER: ""}).status_code == 403
    mixed = {OWN_HEADER: STRANGER, "Authorization": f"AWS {endpoint.credentials.access_key_id}:sig"}
    assert requests.get(url, headers=mixed).status_code == 403


def test_moto_never_sees_the_header_of_our_jvm() -> None:
    credentials = SessionCredentials.new(REGION)
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        return []

    KeyCheck(app, credentials)(
        {"HTTP_X_ISOLATED_EMR_KEY": credentials.access_key_id, "PATH_INFO": "/"}, lambda *args: None
    )
    assert "HTTP_X_ISOLATED_EMR_KEY" not in seen[0]


@pytest.mark.parametrize("action", ["AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"])
def test_unsigned_sts_is_refused(endpoint: Endpoint, action: str) -> None:
    form = {"Action": action, "Version": "2011-06-15", "RoleArn": "arn:aws:iam::123456789012:role/r"}
    answer = requests.post(endpoint.url, data=form)
    assert answer.status_code == 403
    assert "<Code>MissingAuthenticationToken</Code>" in answer.text


def test_cors_preflight_is_refused(endpoint: Endpoint) -> None:
    headers = {"Origin": "https://example.com", "Access-Control-Request-Method": "PUT"}
    answer = requests.options(f"{endpoint.url}/here/x", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_keys_of_the_sessions_own_sts_work_and_say_who_they_are(endpoint: Endpoint) -> None:
    role = "arn:aws:iam::123456789012:role/etl"
    given = endpoint.client("sts").assume_role(RoleArn=role, RoleSessionName="run")["Credentials"]
    as_role = endpoint.client("sts", key=given["AccessKeyId"], token=given["SessionToken"])
    assert as_role.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/etl/run"
    endpoint.client("s3", key=given["AccessKeyId"]).put_object(Bucket="here", Key="as-role", Body=b"x")

    far = endpoint.client("sts").assume_role(
        RoleArn="arn:aws:iam::222222222222:role/far", RoleSessionName="run"
    )["Credentials"]
    assert endpoint.client("sts", key=far["AccessKeyId"]).get_caller_identity()["Account"] == "222222222222"


def test_keys_of_the_sessions_own_iam_work_until_they_are_disabled(endpoint: Endpoint) -> None:
    iam = endpoint.client("iam")
    user = iam.create_user(UserName="robot")["User"]
    key = iam.create_access_key(UserName="robot")["AccessKey"]
    as_user = endpoint.client("sts", key=key["AccessKeyId"])
    assert as_user.get_caller_identity()["Arn"] == user["Arn"]

    session = as_user.get_session_token()["Credentials"]
    as_session = endpoint.client("sts", key=session["AccessKeyId"], token=session["SessionToken"])
    assert as_session.get_caller_identity()["Arn"] == user["Arn"]

    iam.update_access_key(UserName="robot", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        as_user.get_caller_identity()
    iam.update_access_key(UserName="robot", AccessKeyId=key["AccessKeyId"], Status="Active")
    iam.delete_access_key(UserName="robot", AccessKeyId=key["AccessKeyId"])
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        as_user.get_caller_identity()


def test_a_federated_user_is_one(endpoint: Endpoint) -> None:
    given = endpoint.client("sts").get_federation_token(Name="guest")["Credentials"]
    identity = endpoint.client("sts", key=given["AccessKeyId"]).get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::123456789012:federated-user/guest"


def handed_out(endpoint: Endpoint) -> dict[str, str]:
    """A key of each kind that STS and IAM hand out."""
    sts, iam = endpoint.client("sts"), endpoint.client("iam")
    arn = "arn:aws:iam::123456789012:role/etl"
    iam.create_user(UserName="exchange")
    kinds = {
        "assumed": sts.assume_role(RoleArn=arn, RoleSessionName="run"),
        "session": sts.get_session_token(),
        "federated": sts.get_federation_token(Name="guest"),
    }
    keys = {kind: answer["Credentials"]["AccessKeyId"] for kind, answer in kinds.items()}
    return keys | {"user": iam.create_access_key(UserName="exchange")["AccessKey"]["AccessKeyId"]}


def test_two_sessions_refuse_each_others_handed_out_keys(endpoint: Endpoint, other: Endpoint) -> None:
    for issuer, stranger in ((endpoint, other), (other, endpoint)):
        keys = handed_out(issuer)
        assert len(set(keys.values())) == len(keys)
        for kind, key in keys.items():
            issuer.client("s3", key=key).list_buckets()
            with pytest.raises(ClientError, match="InvalidAccessKeyId"):
                stranger.client("s3", key=key).list_buckets()
            # A prefix of four, and more than 128 random bits of base 32.
            assert len(key) >= 4 + 26, kind


def test_motos_constant_keys_are_refused(endpoint: Endpoint) -> None:
    for key in ("AKIAIOSFODNN7EXAMPLE", "FOOBARKEY", "AKIAEXAMPLE", "testing", "test"):
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            endpoint.client("s3", key=key).list_buckets()


CONTROL_PATHS = [
    "/moto-api/reset",
    "/moto-api",
    "//moto-api/reset",
    "/./moto-api/reset",
    "/x/../moto-api/reset",
    "/Moto-API/reset",
    "/%6doto-api/reset",
    "/%256doto-api/reset",
    "/moto%2dapi/reset",
    "/moto-api%2freset",
    "/%2fmoto-api/reset",
    "/\\moto-api/reset",
    "http://motoapi.amazonaws.com/moto-api/reset",
]


@pytest.mark.parametrize("path", CONTROL_PATHS)
def test_motos_control_paths_are_closed_to_the_session_too(endpoint: Endpoint, path: str) -> None:
    s3 = endpoint.client("s3")
    s3.put_object(Bucket="here", Key="kept", Body=b"x")
    own = endpoint.credentials.access_key_id
    assert status_of(endpoint, "POST", path, {"Authorization": f"AWS {own}:sig", OWN_HEADER: own}) == 403
    assert "kept" in endpoint.keys("here")


@pytest.mark.parametrize("service", ["motoapi.amazonaws.com", "motoapi", "moto_api", "MotoAPI"])
def test_no_signature_leads_to_motos_control_service(endpoint: Endpoint, service: str) -> None:
    own = endpoint.credentials.access_key_id
    scope = f"Credential={own}/20260101/us-east-1/{service}/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00"}
    for path in ("/moto-api/reset", "/", "/data.json"):
        assert status_of(endpoint, "POST", path, headers) == 403


def test_no_host_leads_to_motos_control_service(endpoint: Endpoint) -> None:
    own = endpoint.credentials.access_key_id
    headers = {"Host": "motoapi.amazonaws.com", "Authorization": f"AWS {own}:sig"}
    assert status_of(endpoint, "GET", "/", headers) == 403


def test_motos_control_service_has_no_application() -> None:
    from pytest_isolated_emr.aws.serving import app_for_service

    for name in ("moto_api", "moto_api._internal"):
        answers: list[str] = []
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/moto-api/reset"}
        list(
            app_for_service(name, lambda: None)(
                environ, lambda status, headers, seen=answers: seen.append(status)
            )
        )
        assert answers == ["403 Forbidden"]


def test_an_object_named_like_a_control_path_is_none(endpoint: Endpoint) -> None:
    assert not is_control_request({"PATH_INFO": "/here/moto-api/reset"})
    endpoint.client("s3").put_object(Bucket="here", Key="moto-api/reset", Body=b"x")
    assert "moto-api/reset" in endpoint.keys("here")


def status_of(endpoint: Endpoint, method: str, target: str, headers: dict[str, str]) -> int:
    """Send a request whose target no library has tidied up."""
    address = urlsplit(endpoint.url)
    headers = {"Host": address.netloc, "Content-Length": "0", "Connection": "close"} | headers
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall("\r\n".join(lines).encode())
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return answer.status


def test_the_secret_is_not_in_the_repr() -> None:
    credentials = SessionCredentials.new(REGION)
    assert credentials.secret_access_key not in repr(credentials)
    assert json.dumps(credentials.secret_access_key)
    assert SessionCredentials.new(REGION).access_key_id != credentials.access_key_id
