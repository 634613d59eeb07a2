"""S3's requests on the short way: to moto's S3 without Flask's routing, contexts and response.

moto's server makes a Flask application of each service. What that does for the requests that Spark and boto3 send by
the thousand is known beforehand: find out whether a path is a bucket's or an object's, and turn moto's answer into WSGI's.
All that is not as plain as that goes through Flask as ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError
from flask import Response
from moto.core.request import Request
from werkzeug.exceptions import HTTPException

from .access import WsgiApp
from .listings import S3Listings
from .object_bodies import ObjectBody, S3InPlace
from .refusals import StartResponse

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
#: A bucket, and a key if there is one. Flask has rules of its own for doubled slashes and line ends.
_PLAIN_PATH = re.compile(r"/[^/]+(?:/(?P<key>(?!/)(?:(?!//)[^\x00-\x1f\x7f])*))?\Z")
#: moto takes these bodies apart.
_FORMS = ("application/x-www-form-urlencoded", "multipart/")
#: What werkzeug's response has where moto says nothing.
_DEFAULT_TYPE = "text/html; charset=utf-8"
_STATUS_LINES = {
    status: f"{status.value} {status.phrase.upper()}"
    for status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
}


class S3App:
    """WSGI application of moto's S3.

    :param flask_app: moto's own, for what is not plain.
    """

    def __init__(self, flask_app: WsgiApp) -> None:
        self._flask_app = flask_app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path = _PLAIN_PATH.match(environ["PATH_INFO"])
        plain = path and environ["REQUEST_METHOD"] in _METHODS
        if path is None or not plain or environ.get("CONTENT_TYPE", "").lower().startswith(_FORMS):
            return self._flask_app(environ, start_response)
        # A request that is in its own environment is a circle, and keeps its body until it is collected.
        request = _PlainRequest(environ, populate_request=False)
        dispatch = _S3.key_dispatch if path["key"] else _S3.ambiguous_dispatch
        try:
            status, headers, body = dispatch(request, request.raw_url, request.headers)
        except ClientError as error:
            status, headers, body = 400, {}, error.response["Error"]["Message"]
        except HTTPException as error:
            return _through_flask(
                Response.force_type(error.get_response(environ), environ), environ, start_response
            )
        if (plain_headers := _plain_headers(status, headers, body, request.method)) is not None:
            start_response(_STATUS_LINES[status], plain_headers)
            return body if isinstance(body, ObjectBody) else [body]
        response = Response(body, status, headers)
        if request.method == "HEAD" and "content-length" in headers:
            response.headers["Content-Length"] = headers["content-length"]
        return _through_flask(response, environ, start_response)


class _S3(S3Listings, S3InPlace):
    """moto's S3, with what is quicker."""


class _PlainRequest(Request):  # type: ignore[misc]
    """moto's request, whose address is put together once."""

    from_wsgi_server = True

    raw_path = cached_property(Request.raw_path.fget)
    raw_url = cached_property(Request.raw_url.fget)


def _plain_headers(
    status: int, headers: Mapping[str, Any], body: Any, method: str
) -> list[tuple[str, str]] | None:
    """Return the headers that werkzeug would make of an answer that worked, or None where it would do more."""
    if status not in _STATUS_LINES or not isinstance(body, bytes | ObjectBody):
        return None
    if not all(isinstance(value, str) for value in headers.values()):
        return None
    names = {name.lower(): name for name in headers}
    if len(names) < len(headers) or "location" in names:
        return None
    length = str(len(body))
    if method == "HEAD":
        length = headers.get("content-length", length)
    made = [(name, value) for name, value in headers.items() if name.lower() != "content-length"]
    if "content-type" not in names:
        made.append(("Content-Type", _DEFAULT_TYPE))
    return [*made, ("Content-Length", length)]


def _through_flask(response: Any, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    answered: Iterable[bytes] = response(environ, start_response)
    return answered
