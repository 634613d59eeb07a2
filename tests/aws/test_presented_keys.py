"""Which keys a request is taken to name, for any bytes that may arrive; without a server."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from pytest_isolated_emr.aws.access import KeyCheck
from pytest_isolated_emr.aws.credentials import SessionCredentials
from pytest_isolated_emr.aws.presented_keys import keys_in_authorization, presented_keys

from .conftest import REGION

STRANGER = "AKIA" + "Z" * 28
OWN = SessionCredentials.new(REGION).access_key_id
text = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"))


def accepted(environ: dict[str, Any], key: str = OWN) -> bool:
    reached: list[bool] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        reached.append(True)
        return []

    check = KeyCheck(app, SessionCredentials(key, "secret", REGION))
    check({"REQUEST_METHOD": "GET", "PATH_INFO": "/here", **environ}, lambda *args: None)
    return bool(reached)


pieces = st.sampled_from(
    [
        *(
            "AWS ",
            "AWS4-HMAC-SHA256 ",
            "AWS4-ECDSA-P256-SHA256 ",
            "Credential=",
            "SignedHeaders=",
            "Signature=",
        ),
        *(",", ", ", "/", ":", " ", "=", "\t", STRANGER, OWN[:-1], OWN[1:], OWN.lower(), "Bearer ", "Basic "),
    ]
)


@given(st.one_of(text, st.lists(pieces).map("".join)))
def test_no_header_without_the_key_is_accepted(header: str) -> None:
    if OWN not in header:
        assert not accepted({"HTTP_AUTHORIZATION": header})
        assert OWN not in keys_in_authorization(header)


@given(st.lists(st.one_of(pieces, st.just(OWN))).map("".join))
def test_a_header_with_another_key_beside_the_sessions_is_not_accepted(header: str) -> None:
    if accepted({"HTTP_AUTHORIZATION": header}):
        assert set(keys_in_authorization(header)) == {OWN}
        assert f"Credential={STRANGER}" not in header


@given(
    key=st.sampled_from([OWN, STRANGER]),
    date=st.from_regex(r"\d{8}", fullmatch=True),
    service=st.from_regex(r"[a-z0-9-]{2,20}", fullmatch=True),
    separator=st.sampled_from([",", ", "]),
)
def test_well_formed_headers_name_their_key(key: str, date: str, service: str, separator: str) -> None:
    fields = [
        f"Credential={key}/{date}/{REGION}/{service}/aws4_request",
        "SignedHeaders=host;date",
        "Signature=0f",
    ]
    header = f"AWS4-HMAC-SHA256 {separator.join(fields)}"
    assert keys_in_authorization(header) == [key]
    assert accepted({"HTTP_AUTHORIZATION": header}) == (key == OWN)


@given(st.lists(st.tuples(text, text)))
def test_no_query_without_the_key_is_accepted(fields: list[tuple[str, str]]) -> None:
    if not any(OWN in value for _, value in fields):
        assert not accepted({"QUERY_STRING": urlencode(fields)})


@given(
    body=st.binary(max_size=300_000),
    kind=st.sampled_from(["multipart/form-data; boundary=b", "application/x-www-form-urlencoded", ""]),
)
def test_a_body_that_was_looked_at_is_still_whole(body: bytes, kind: str) -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body + b"next request"),
    }
    assert OWN not in presented_keys(environ)
    assert environ["wsgi.input"].read(len(body)) == body


def test_a_large_upload_is_not_read_before_it_is_refused() -> None:
    class Upload(io.RawIOBase):
        read_so_far = 0

        def read(self, size: int = -1) -> bytes:
            assert size >= 0
            self.read_so_far += size
            return head[self.read_so_far - size : self.read_so_far].ljust(size, b"x")

    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    upload = Upload()
    assert not accepted(
        {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "multipart/form-data; boundary=b",
            "CONTENT_LENGTH": str(10**12),
            "wsgi.input": upload,
        }
    )
    assert upload.read_so_far <= 2**20
