"""What clients of S3 need from the HTTP server, and what one of them must not do to the others."""

from __future__ import annotations

import http.client
import os
import socket

import psutil
import pytest

from .conftest import Endpoint, Start

MB = 1 << 20


def signed(endpoint: Endpoint, **more: str) -> dict[str, str]:
    return {"Authorization": f"AWS {endpoint.credentials.access_key_id}:any", **more}


def connect(endpoint: Endpoint) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=60)


def begin_upload(endpoint: Endpoint, key: str, length: int, expect: bool = False) -> socket.socket:
    """Send an upload's headers."""
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    sending = socket.create_connection((host, int(port)), timeout=60)
    headers = signed(endpoint, Host=f"{host}:{port}", **{"Content-Length": str(length)})
    headers |= {"Expect": "100-continue"} if expect else {}
    lines = [f"PUT /here/{key} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    sending.sendall("\r\n".join(lines).encode())
    return sending


def test_a_connection_is_kept_whatever_it_is_answered(endpoint: Endpoint) -> None:
    connection = connect(endpoint)
    connection.connect()
    port = connection.sock.getsockname()[1]
    stranger = {"Authorization": f"AWS AKIA{'Z' * 28}:any"}
    for method, path, headers, body, status in (
        ("PUT", "/here/kept", signed(endpoint), b"kept", 200),
        ("PUT", "/here/kept", stranger, b"x" * MB, 403),
        ("GET", "/here/kept", signed(endpoint), None, 200),
        ("HEAD", "/here/kept", signed(endpoint), None, 200),
        ("GET", "/here/none", signed(endpoint), None, 404),
        ("HEAD", "/here/none", signed(endpoint), None, 404),
        ("GET", "/here/kept", signed(endpoint, **{"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}), None, 304),
        ("DELETE", "/here/kept", signed(endpoint), None, 204),
        ("GET", "/moto-api/data.json", signed(endpoint), None, 403),
    ):  # fmt: skip
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        assert (method, path, answer.status) == (method, path, status)
        assert connection.sock is not None, f"{method} {path} closed the connection"
        assert connection.sock.getsockname()[1] == port


def test_clients_that_are_slow_keep_nobody_waiting(endpoint: Endpoint) -> None:
    slow = [begin_upload(endpoint, f"slow-{number}", 100) for number in range(100)]
    assert endpoint.client("s3").list_objects_v2(Bucket="here", Prefix="slow")["KeyCount"] == 0
    for sending in slow:
        sending.sendall(b"x" * 100)
        assert sending.recv(100).startswith(b"HTTP/1.1 200")
        sending.close()
    assert endpoint.client("s3").list_objects_v2(Bucket="here", Prefix="slow")["KeyCount"] == 100


def test_who_asks_before_it_sends_is_told_to_go_on(endpoint: Endpoint) -> None:
    sending = begin_upload(endpoint, "expected", 4, expect=True)
    assert sending.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sending.sendall(b"body")
    assert sending.recv(100).startswith(b"HTTP/1.1 200")
    sending.close()
    assert endpoint.client("s3").get_object(Bucket="here", Key="expected")["Body"].read() == b"body"


def test_an_upload_that_breaks_off_stores_nothing(endpoint: Endpoint) -> None:
    sending = begin_upload(endpoint, "broken-off", 10)
    sending.sendall(b"only")
    sending.shutdown(socket.SHUT_WR)
    assert not sending.recv(100).startswith(b"HTTP/1.1 200")
    sending.close()
    assert "broken-off" not in endpoint.keys("here")


@pytest.mark.parametrize("size", [0, 5, 3 * MB, 9 * MB])
def test_a_body_in_chunks_without_its_length_is_stored_whole(endpoint: Endpoint, size: int) -> None:
    body, connection = os.urandom(size), connect(endpoint)
    pieces = (body[at : at + 100_000] for at in range(0, size, 100_000))
    connection.request("PUT", "/here/chunked", pieces, signed(endpoint), encode_chunked=True)
    assert connection.getresponse().status == 200
    assert endpoint.client("s3").get_object(Bucket="here", Key="chunked")["Body"].read() == body


def test_an_object_that_is_overwritten_while_it_is_read_is_read_to_its_end(endpoint: Endpoint) -> None:
    first, s3 = os.urandom(64 * MB), endpoint.client("s3")
    s3.put_object(Bucket="here", Key="overwritten", Body=first)
    reading = s3.get_object(Bucket="here", Key="overwritten")["Body"]
    start = reading.read(1000)
    s3.put_object(Bucket="here", Key="overwritten", Body=b"other")
    s3.delete_object(Bucket="here", Key="overwritten")
    assert start + reading.read() == first


def test_no_file_stays_open_for_what_was_read(start_endpoint: Start) -> None:
    endpoint = start_endpoint([{"name": "here", "directory": None}])
    process, s3 = psutil.Process(endpoint.process.pid), endpoint.client("s3")
    s3.put_object(Bucket="here", Key="large", Body=os.urandom(8 * MB))
    before = process.num_fds()
    for number in range(20):
        s3.get_object(Bucket="here", Key="large", Range=f"bytes={number}-{MB}")["Body"].read()
        s3.get_object(Bucket="here", Key="large")["Body"].close()
    s3.head_bucket(Bucket="here")
    # The client's connections are some of them.
    assert process.num_fds() <= before + 10


def test_a_large_object_is_not_in_memory_as_well(start_endpoint: Start) -> None:
    endpoint = start_endpoint([{"name": "here", "directory": None}])
    process, s3 = psutil.Process(endpoint.process.pid), endpoint.client("s3")
    s3.put_object(Bucket="here", Key="small", Body=b"x")
    before = process.memory_info().rss
    s3.put_object(Bucket="here", Key="large", Body=os.urandom(128 * MB))
    s3.get_object(Bucket="here", Key="large")["Body"].read()
    s3.copy_object(Bucket="here", Key="copy", CopySource="here/large")
    assert process.memory_info().rss - before < 32 * MB
