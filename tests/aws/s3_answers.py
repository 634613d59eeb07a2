"""Requests to a server of S3, and its answers without what differs from one run to the next."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from .conftest import REGION

#: Headers that say when, who or how, and not what.
IGNORED = frozenset(
    {"date", "server", "connection", "x-amz-request-id", "x-amzn-requestid", "transfer-encoding"}
)
_TIMES = (
    re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?"),
    re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
)
_UPLOAD_ID = re.compile(r"(?<=<UploadId>)[^<]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REQUEST_ID = re.compile(r"<RequestId>[^<]*</RequestId>")


@dataclass
class Answer:
    """An answer as it came.

    :param status: its status.
    :param headers: names in lower case, and values.
    :param body: its body.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value."""
        return next(value for each, value in self.headers if each == name)

    def tag(self, name: str) -> str:
        """Return the text of the body's first XML element of a name."""
        found = re.search(f"<{name}>(.*?)</{name}>", self.body.decode())
        assert found is not None, (name, self.status, self.body)
        return found[1]


@dataclass
class S3Server:
    """A server of S3; remembers its answers in a form in which two servers' can be compared.

    :param url: where it is.
    :param access_key_id: what its clients sign with.
    """

    url: str
    access_key_id: str
    answers: list[Any] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        signed: bool = True,
    ) -> Answer:
        """Send a request and remember what it is answered.

        :param path: path and query as they are sent; or a whole URL.
        :param signed: whether the header Authorization is put to it.
        """
        address = urlsplit(self.url)
        path = path.removeprefix(self.url)
        request = AWSRequest(method, self.url + path, dict(headers or {}), body)
        if signed:
            S3SigV4Auth(Credentials(self.access_key_id, "any"), "s3", REGION).add_auth(request)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        sent = dict(request.headers.items()) | {"Content-Length": str(len(body))}
        if method in ("GET", "HEAD") and not body:
            del sent["Content-Length"]
        connection.request(method, path, body or None, sent)
        got = connection.getresponse()
        answer = Answer(got.status, [(name.lower(), value) for name, value in got.getheaders()], got.read())
        connection.close()
        self.answers.append(self._comparable(f"{method} {path}", answer))
        return answer

    def call(self, act: Callable[[Any], Any], **options: Any) -> Any:
        """Have boto3 do something and remember what it makes of it.

        :param act: gets a client.
        :param options: of the client's configuration.
        """
        try:
            answer = act(self.client(**options))
        except ClientError as error:
            answer = {"raised": error.response}
        if isinstance(answer, dict):
            if hasattr(answer.get("Body"), "read"):
                answer["Body"] = answer["Body"].read()
            if "Payload" in answer:
                answer["Payload"] = list(answer["Payload"])
        self.answers.append(self._plain(answer))
        return answer

    def client(self, **options: Any) -> Any:
        """Return a client of boto3's."""
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **options)
        session = boto3.Session(
            self.access_key_id, "any", region_name=REGION, botocore_session=botocore.session.Session()
        )
        return session.client("s3", endpoint_url=self.url, config=config)

    def name(self, value: str, name: str) -> str:
        """Have a value that the server made stand under a name in the answers that follow."""
        self.names[value] = name
        return value

    def _comparable(self, request: str, answer: Answer) -> Any:
        # What servers make themselves may be longer in the one's body than in the other's.
        length = ("content-length", str(len(answer.body)))
        headers = sorted(
            ("content-length", "the body's") if each == length else (each[0], self._text(each[1]))
            for each in answer.headers
            # werkzeug has the methods that a path allows in a different order each time.
            if each[0] not in (*IGNORED, "allow")
        )
        if answer.status >= 500:
            # moto's server fails with a page of HTML; ours says the same in S3's words, and 501 of what moto has not.
            return (self._text(request), "failed")
        return (self._text(request), answer.status, headers, self._bytes(answer.body))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("HTTPStatusCode", 0) >= 500:
                return "failed"
            left_out = IGNORED | {"RequestId", "HostId", "RetryAttempts"}
            return {self._text(str(k)): self._plain(v) for k, v in value.items() if k not in left_out}
        if isinstance(value, list | tuple):
            return [self._plain(each) for each in value]
        if isinstance(value, bytes):
            return self._bytes(value)
        return self._text(str(value))

    def _bytes(self, body: bytes) -> Any:
        try:
            return self._text(body.decode())
        except UnicodeDecodeError:
            return body

    def _text(self, text: str) -> str:
        if len(text) > 1_000_000:
            return text
        for value, name in sorted(self.names.items(), key=lambda item: -len(item[0])):
            text = text.replace(value, name)
        text = text.replace(self.url.removeprefix("http://"), "HOST").replace(self.access_key_id, "KEY")
        for pattern in _TIMES:
            text = pattern.sub("TIME", text)
        text = _REQUEST_ID.sub("<RequestId/>", text)
        return _UUID.sub(self._numbered, _UPLOAD_ID.sub(self._numbered, text))

    def _numbered(self, match: re.Match[str]) -> str:
        return self.names.setdefault(match[0], f"ID{len(self.names)}")
