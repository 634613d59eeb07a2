"""Which operation of AWS's a request is, as told by what is on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/[^/,\s]+/([^/,\s]+)/")
_ATTEMPT = re.compile(r"attempt=(\d+)")
_TARGET = "ElasticMapReduce."

# Method, what is in the query (the first that fits), operation: of a bucket and of an object.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
_OF_BUCKETS = (
    ("GET", "location", "GetBucketLocation"),
    ("GET", "versions", "ListObjectVersions"),
    ("GET", "uploads", "ListMultipartUploads"),
    ("GET", "versioning", "GetBucketVersioning"),
    ("GET", "list-type", "ListObjectsV2"),
    ("GET", "", "ListObjects"),
    ("HEAD", "", "HeadBucket"),
    ("PUT", "versioning", "PutBucketVersioning"),
    ("PUT", "", "CreateBucket"),
    ("POST", "delete", "DeleteObjects"),
    ("DELETE", "", "DeleteBucket"),
)
_OF_OBJECTS = (
    ("GET", "uploadId", "ListParts"),
    ("GET", "", "GetObject"),
    ("HEAD", "", "HeadObject"),
    ("PUT", "partNumber", "UploadPart"),
    ("PUT", "", "PutObject"),
    ("POST", "uploads", "CreateMultipartUpload"),
    ("POST", "uploadId", "CompleteMultipartUpload"),
    ("DELETE", "uploadId", "AbortMultipartUpload"),
    ("DELETE", "", "DeleteObject"),
)


@dataclass(frozen=True)
class Call:
    """One attempt of a call.

    :param service: boto3's name of it.
    :param operation: the API's name, such as ``RunJobFlow``.
    :param parameters: what it asks for: EMR's and the query protocol's own, and Bucket and Key of S3's.
    :param invocation: what an SDK's attempts of one call have in common.
    :param attempt: which of them it is, from 1 on.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    invocation: str = ""
    attempt: int = 1

    @property
    def action(self) -> str:
        """IAM's name of it, near enough."""
        prefix = {"emr": "elasticmapreduce"}.get(self.service, self.service)
        return f"{prefix}:{self.operation}"


def recognise(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Return the call that a request is.

    :param method: of HTTP.
    :param target: path and query.
    :param headers: their names in any case.
    :param body: all of it.
    """
    given = {name.casefold(): value for name, value in headers.items()}
    attempt = _ATTEMPT.search(given.get("amz-sdk-request", ""))
    common = (given.get("amz-sdk-invocation-id", ""), int(attempt[1]) if attempt else 1)
    name = given.get("x-amz-target", "")
    if name.startswith(_TARGET):
        return Call("emr", name.removeprefix(_TARGET), json.loads(body or b"{}"), *common)
    scope = _SCOPE.search(given.get("authorization", ""))
    service = scope[1] if scope else "s3"
    if service in ("s3", "s3express"):
        operation, parameters = _of_s3(method, target)
        if owner := given.get("x-amz-expected-bucket-owner"):
            parameters["ExpectedBucketOwner"] = owner
        return Call("s3", operation, parameters, *common)
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return Call(service, form.get("Action", ""), form, *common)


def _of_s3(method: str, target: str) -> tuple[str, dict[str, Any]]:
    """Bucket and key are in the path, as those who are given an endpoint of numbers write them."""
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
    if not bucket:
        return "ListBuckets", query
    parameters = {**query, "Bucket": bucket, **({"Key": key} if key else {})}
    for of_method, in_query, operation in _OF_OBJECTS if key else _OF_BUCKETS:
        if method == of_method and (not in_query or in_query in query):
            return operation, parameters
    return f"{method}?{parts.query}", parameters
