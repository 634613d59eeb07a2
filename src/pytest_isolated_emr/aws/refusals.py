"""Errors in the words of the service that was asked, so that an SDK raises them as it raises AWS's own.

The check answers before moto has looked at a request, so the protocol is told from what every SDK sends: the
service in the credential's scope, the target header, the content type and the query protocol's parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

from werkzeug.http import parse_options_header

from .presented_keys import query_fields

StartResponse = Callable[[str, list[tuple[str, str]]], Any]

_S3_SCOPES = {"s3", "s3express", "s3-object-lambda", "s3-outposts"}
_JSON_TYPES = {"application/x-amz-json-1.0", "application/x-amz-json-1.1"}
_REST_XML_SCOPES = {"cloudfront", "route53"}


class Protocol(Enum):
    """The wire protocols of AWS's service models (the trait names of botocore's ``service-2.json``)."""

    S3 = "s3"
    REST_XML = "rest-xml"
    QUERY = "query"
    EC2 = "ec2"
    JSON = "json"
    REST_JSON = "rest-json"
    CBOR = "smithy-rpc-v2-cbor"


@dataclass(frozen=True)
class Fault:
    """One kind of error, with the code that each family of services has for it.

    :param status: the HTTP status line's code and words.
    :param s3: S3's code and message.
    :param query: the query protocol's code (AWS's page "Common Error Types" of IAM and STS).
    :param ec2: EC2's code (EC2's API reference, "Error codes", common client errors).
    :param json: the JSON protocols' code (for example DynamoDB's developer guide, "Error handling").
    :param message: the message of all but S3.
    """

    status: str
    s3: tuple[str, str]
    query: str
    ec2: str
    json: str
    message: str


UNKNOWN_KEY = Fault(
    status="403 Forbidden",
    s3=("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    query="InvalidClientTokenId",
    ec2="AuthFailure",
    json="UnrecognizedClientException",
    message="The security token included in the request is invalid.",
)
NO_KEY = Fault(
    status="403 Forbidden",
    s3=("AccessDenied", "Access Denied"),
    query="MissingAuthenticationToken",
    ec2="MissingAuthenticationToken",
    json="MissingAuthenticationTokenException",
    message="Request is missing Authentication Token",
)
_CLOSED = "moto's control paths are closed: a test could change what other tests of the session see."
CONTROL_PATH = Fault(
    status="403 Forbidden",
    s3=("AccessDenied", _CLOSED),
    query="AccessDenied",
    ec2="UnauthorizedOperation",
    json="AccessDeniedException",
    message=_CLOSED,
)


def not_implemented(what: str) -> Fault:
    """Return the fault of an operation that the endpoint does not have.

    It is a 501, since SDKs repeat a 500 for many seconds, which helps nobody here.
    """
    message = f"The private endpoint has no such operation: {what}"
    code = "NotImplemented"
    return Fault("501 Not Implemented", (code, message), code, code, code, message)


def internal_error(what: str) -> Fault:
    """Return the fault of a request at which the endpoint itself failed."""
    message = f"The private endpoint failed: {what}"
    return Fault(
        "500 Internal Server Error",
        ("InternalError", message),
        "InternalFailure",
        "InternalError",
        "InternalFailure",
        message,
    )


def scope_service(environ: dict[str, Any]) -> str:
    """Return the service in the credential's scope (``KEY/date/region/SERVICE/aws4_request``), or ``""``."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    credentials = [header.partition("Credential=")[2].partition(",")[0]]
    credentials += [value for name, value in query_fields(environ) if name.casefold() == "x-amz-credential"]
    for credential in credentials:
        parts = credential.strip().split("/")
        if len(parts) >= 3:
            service: str = parts[-2]
            return service.casefold()
    return ""


def protocol_of(environ: dict[str, Any]) -> Protocol:
    """Return the protocol that the sender of a request will read the answer by."""
    service = scope_service(environ)
    kind = parse_options_header(environ.get("CONTENT_TYPE", ""))[0]
    query = dict(query_fields(environ))
    if environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
        return Protocol.CBOR
    if environ.get("HTTP_X_AMZ_TARGET") or kind in _JSON_TYPES:
        return Protocol.JSON
    if service in _S3_SCOPES:
        return Protocol.REST_XML if environ.get("PATH_INFO", "").startswith("/v20180820/") else Protocol.S3
    if service == "ec2":
        return Protocol.EC2
    if "Action" in query or (kind == "application/x-www-form-urlencoded" and environ.get("PATH_INFO") == "/"):
        return Protocol.QUERY
    if service in _REST_XML_SCOPES:
        return Protocol.REST_XML
    if service or kind == "application/json":
        return Protocol.REST_JSON
    # moto, too, takes what names no service for S3's.
    return Protocol.S3


def respond(environ: dict[str, Any], start_response: StartResponse, fault: Fault) -> Iterable[bytes]:
    """Answer a request with ``fault``, in its own protocol."""
    protocol = protocol_of(environ)
    request_id = str(uuid4())
    headers, body = _RENDERERS[protocol](environ, fault, request_id)
    # HTTP (RFC 9110, 9.3.2): an answer to HEAD has no body.
    body = b"" if environ.get("REQUEST_METHOD") == "HEAD" else body
    id_header = "x-amz-request-id" if protocol is Protocol.S3 else "x-amzn-requestid"
    start_response(fault.status, [*headers, (id_header, request_id), ("Content-Length", str(len(body)))])
    return [body]


Rendered = tuple[list[tuple[str, str]], bytes]


def _s3(environ: dict[str, Any], fault: Fault, request_id: str) -> Rendered:
    # S3's API reference, "REST error responses".
    code, message = fault.s3
    body = _xml(f"<Error>{_code(code, message)}<RequestId>{request_id}</RequestId></Error>")
    return [("Content-Type", "application/xml")], body


def _rest_xml(environ: dict[str, Any], fault: Fault, request_id: str) -> Rendered:
    return _query(environ, fault, request_id)


def _query(environ: dict[str, Any], fault: Fault, request_id: str) -> Rendered:
    inner = f"<Error><Type>Sender</Type>{_code(fault.query, fault.message)}</Error>"
    body = _xml(f"<ErrorResponse>{inner}<RequestId>{request_id}</RequestId></ErrorResponse>")
    return [("Content-Type", "text/xml")], body


def _ec2(environ: dict[str, Any], fault: Fault, request_id: str) -> Rendered:
    inner = f"<Errors><Error>{_code(fault.ec2, fault.message)}</Error></Errors>"
    body = _xml(f"<Response>{inner}<RequestID>{request_id}</RequestID></Response>")
    return [("Content-Type", "text/xml;charset=UTF-8")], body


def _json(environ: dict[str, Any], fault: Fault, request_id: str) -> Rendered:
    kind = parse_options_header(environ.get("CONTENT_TYPE", ""))[0] or "application/x-amz-json-1.0"
    headers = [("Content-Type", kind), ("x-amzn-errortype", fault.json)]
    if environ.get("HTTP_X_AMZN_QUERY_MODE", "").casefold() == "true":
        # Smithy's awsQueryCompatible: who moved from the query protocol to JSON (SQS) keeps the former codes.
        headers.append(("x-amzn-query-error", f"{fault.query};Sender"))
    return headers, json.dumps({"__type": fault.json, "message": fault.message}).encode()


def _rest_json(environ: dict[str, Any], fault: Fault, request_id: str) -> Rendered:
    headers = [("Content-Type", "application/json"), ("x-amzn-errortype", fault.json)]
    return headers, json.dumps({"message": fault.message}).encode()


def _cbor(environ: dict[str, Any], fault: Fault, request_id: str) -> Rendered:
    # Smithy's rpcV2Cbor: a map of "__type" and "message". RFC 8949: 0xa0 + n starts a map of n pairs.
    texts = ("__type", fault.json, "message", fault.message)
    body = b"\xa2" + b"".join(_cbor_text(text) for text in texts)
    return [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")], body


def _cbor_text(text: str) -> bytes:
    # RFC 8949: 0x79 starts a text whose length is in the next two bytes.
    data = text.encode()[:0xFFFF]
    return b"\x79" + len(data).to_bytes(2, "big") + data


def _code(code: str, message: str) -> str:
    return f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"


def _xml(body: str) -> bytes:
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + body.encode()


_RENDERERS: dict[Protocol, Callable[[dict[str, Any], Fault, str], Rendered]] = {
    Protocol.S3: _s3,
    Protocol.REST_XML: _rest_xml,
    Protocol.QUERY: _query,
    Protocol.EC2: _ec2,
    Protocol.JSON: _json,
    Protocol.REST_JSON: _rest_json,
    Protocol.CBOR: _cbor,
}
