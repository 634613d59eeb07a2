"""The endpoint's S3 answers as moto's own server does: the same requests to both, and every answer compared.

Both run with the settings that ``endpoint.py`` chooses. What differs on purpose is in ``S3Server``, with the reason, and in
other files: who has no key of the session's is refused (``test_access.py``), and of conditional writes at once one succeeds
(``test_endpoint.py``).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Endpoint, Start
from .s3_answers import S3Server
from .s3_bucket_scenarios import BUCKET_SCENARIOS
from .s3_object_scenarios import LARGE, OBJECT_SCENARIOS, Scenario


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Start) -> Endpoint:
    """The endpoint, without a bucket that the other server has not."""
    return start_endpoint()


@pytest.fixture(scope="module")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto's own server."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    environ |= {"MOTO_DISABLE_GLOBAL_CORS": "true", "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"}
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)], env=environ, stdout=log, stderr=log
        )
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def both(endpoint: Endpoint, moto_url: str) -> tuple[S3Server, S3Server]:
    return S3Server(endpoint.url, endpoint.credentials.access_key_id), S3Server(
        moto_url, "AKIAIOSFODNN7EXAMPLE"
    )


@pytest.mark.parametrize("scenario", [*OBJECT_SCENARIOS, *BUCKET_SCENARIOS], ids=lambda each: each.__name__)
def test_the_answers_are_motos(endpoint: Endpoint, moto_url: str, scenario: Scenario) -> None:
    bucket = scenario.__name__.replace("_", "-")
    ours, motos = both(endpoint, moto_url)
    for server in (ours, motos):
        server.client().create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        scenario(server, bucket)
    pairs = zip(ours.answers, motos.answers, strict=True)
    different = [
        {"ours": repr(our)[:2000], "moto's": repr(moto)[:2000]} for our, moto in pairs if our != moto
    ]
    assert not different


NUMBERS = st.one_of(
    st.just(""),
    st.integers(0, 12).map(str),
    st.integers(0, len(LARGE) + 2).map(str),
    st.text("0-9 ,-a", max_size=3),
)
HEADERS = st.builds(
    "{}{}-{}".format, st.sampled_from(["bytes=", "bytes=", "bytes =", "items="]), NUMBERS, NUMBERS
)


def test_ranges_of_all_kinds_are_answered_as_moto_does(endpoint: Endpoint, moto_url: str) -> None:
    ours, motos = both(endpoint, moto_url)
    for server in (ours, motos):
        server.client().create_bucket(
            Bucket="drawn", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        for key, body in (("small", b"0123456789"), ("large", LARGE)):
            server.ask("PUT", f"/drawn/{key}", {}, body)

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from(["GET", "HEAD"]), st.sampled_from(["small", "large"]), HEADERS)
    def compare(method: str, key: str, header: str) -> None:
        for server in (ours, motos):
            server.answers.clear()
            server.ask(method, f"/drawn/{key}", {"Range": header})
        assert ours.answers == motos.answers

    compare()
