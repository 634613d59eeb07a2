"""What is asked of two servers of S3 about objects. Each scenario has a bucket of its own."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from typing import Any

from .s3_answers import S3Server

Scenario = Callable[[S3Server, str], None]

#: More than moto keeps in memory, and the same for both servers.
LARGE = bytes(range(256)) * 4 * 6000
OLD, NEW = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
ODD_KEYS = (
    "a%20b", "plus+plus", "plus%2Bplus", "per%25cent", "%C3%BC/%E6%97%A5%E6%9C%AC.csv", "a%2Fb", "dots/../up", "./here",
    "a//b", "//a", "trailing/", "trailing//", "semi;colon=1", "star*", "quote'%22", "amp&amp", "eq=eq", "tilde~", "a:b@c",
    "new%0Aline", "tab%09", "back%5Cslash", "%F0%9F%98%80", "hash%23", "question%3Fmark", "%FF", "part=2024-01-01/p-0.parquet",
    "_temporary/0/_SUCCESS", "a%2520b", "a%2Fb/c", "very/" + "long/" * 60 + "key", "moto-api", "x,y", "$dollar$", "(par)[br]{c}",
)  # fmt: skip
RANGES = (
    "bytes=0-0", "bytes=0-9", "bytes=5-", "bytes=-5", "bytes=0-", "bytes=-0", "bytes=-999999999", "bytes=9-5", "bytes=20-30",
    "bytes=999999999-", "bytes=0-999999999", "bytes=a-b", "bytes=", "bytes=-", "bytes=1-2,4-5", "bytes=0-0-0", "lines=0-4",
    "bytes = 0-4", "bytes=19-19", "bytes=0-19", "",
)  # fmt: skip


def put_get_head_delete(s3: S3Server, bucket: str) -> None:
    path = f"/{bucket}/key"
    for body in (b"", b"x", b"text\n" * 100, b"some" * 20_000, LARGE):
        s3.ask("PUT", path, {}, body)
        s3.ask("GET", path)
        s3.ask("HEAD", path)
    s3.ask("GET", path + "?x-id=GetObject")
    s3.ask("GET", path + "?")
    s3.ask("DELETE", path)
    s3.ask("DELETE", path)
    s3.ask("GET", path)
    s3.ask("HEAD", path)
    s3.ask("PATCH", path)
    s3.ask("OPTIONS", path)
    s3.ask("BREW", path)


def errors(s3: S3Server, bucket: str) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "POST"):
        s3.ask(method, "/no-such-bucket/key")
        s3.ask(method, f"/{bucket}/no/such/key?versionId=abc")
        s3.ask(method, f"/{bucket}/no/such/key?uploadId=abc")
        s3.ask(method, f"/{bucket}/no/such/key?tagging")
        s3.ask(method, f"/{bucket}/no/such/key?acl")
        s3.ask(method, f"/{bucket}/no/such/key?torrent")
    s3.ask("GET", f"/{bucket}/no-key<&>'\"")
    s3.ask("PUT", f"/{bucket}/key", {"x-amz-storage-class": "NONE"}, b"x")
    s3.ask("PUT", f"/{bucket}/key?acl", {}, b"<nonsense")


def ranges(s3: S3Server, bucket: str) -> None:
    bodies = {"small": b"0123456789abcdefghij", "empty": b"", "large": LARGE}
    for key, body in bodies.items():
        s3.ask("PUT", f"/{bucket}/{key}", {}, body)
        for header in RANGES:
            s3.ask("GET", f"/{bucket}/{key}", {"Range": header})
            s3.ask("HEAD", f"/{bucket}/{key}", {"Range": header})
    for header in (
        "bytes=4000000-4999999",
        "bytes=-1",
        "bytes=6143999-6144010",
        "bytes=6144000-",
        "bytes=0-1048575",
    ):
        s3.ask("GET", f"/{bucket}/large", {"Range": header})
    s3.ask("GET", f"/{bucket}/none", {"Range": "bytes=0-1"})
    s3.ask("PUT", f"/{bucket}/written", {"Range": "bytes=0-1"}, b"whole")
    s3.ask("GET", f"/{bucket}/small", {"Range": "bytes=0-3", "x-amz-checksum-mode": "ENABLED"})


def conditions(s3: S3Server, bucket: str) -> None:
    for key, body in (("small", b"here"), ("large", LARGE)):
        path = f"/{bucket}/{key}"
        s3.ask("PUT", path, {}, body)
        etag = md5(body).hexdigest()
        tried = ({"If-Match": value} for value in (etag, f'"{etag}"', '"other"', "*"))
        tried_none = ({"If-None-Match": value} for value in (etag, f'"{etag}"', '"other"', "*"))
        dates = [{name: at} for name in ("If-Modified-Since", "If-Unmodified-Since") for at in (OLD, NEW)]
        for headers in (*tried, *tried_none, *dates):
            s3.ask("GET", path, headers)
            s3.ask("HEAD", path, headers)
            s3.ask("GET", path, headers | {"Range": "bytes=1-2"})
            s3.ask("GET", f"{path}?tagging", headers)
        s3.ask("GET", path, {"If-Modified-Since": "nonsense"})
    etag = md5(b"new").hexdigest()
    path = f"/{bucket}/written"
    s3.ask("PUT", path, {"If-Match": "*"}, b"new")
    s3.ask("PUT", path, {"If-None-Match": "*"}, b"new")
    s3.ask("PUT", path, {"If-None-Match": "*"}, b"newer")
    s3.ask("PUT", path, {"If-Match": '"wrong"'}, b"newer")
    s3.ask("PUT", path, {"If-Match": f'"{etag}"'}, b"newest")
    s3.ask("DELETE", path, {"If-Match": '"wrong"'})
    s3.ask("GET", path)


def metadata_and_content_headers(s3: S3Server, bucket: str) -> None:
    headers = {
        "Content-Type": "text/csv; charset=utf-8", "Content-Encoding": "gzip", "Content-Language": "de", "Cache-Control": "no-cache",
        "Content-Disposition": 'attachment; filename="a.csv"', "Expires": OLD, "x-amz-meta-plain": "value",
        "x-amz-meta-my_key": "underscored", "x-amz-meta-Mixed-Case": "Mixed", "X-Amz-Meta-Dots.In": "d", "x-amz-meta-empty": "",
        "x-amz-meta-latin": "b\xfccher", "x-amz-meta-spaces": "  two  words ", "x-amz-website-redirect-location": "/elsewhere",
        "not_meta": "dropped", "Content-MD5": "AAAA",
    }  # fmt: skip
    for key, body in (("small", b"x,y"), ("large", LARGE)):
        s3.ask("PUT", f"/{bucket}/{key}", headers, body)
        s3.ask("GET", f"/{bucket}/{key}")
        s3.ask("HEAD", f"/{bucket}/{key}")
        query = "response-content-type=a%2Fb&response-content-language=en&response-expires=then&response-cache-control=c"
        query += "&response-content-disposition=inline&response-content-encoding=utf-8"
        s3.ask("GET", f"/{bucket}/{key}?{query}")
        s3.ask("GET", f"/{bucket}/{key}?response-content-type=a%2Fb", {"Range": "bytes=0-1"})
    s3.ask("PUT", f"/{bucket}/octets", {"Content-Type": "application/octet-stream"}, b"x")
    s3.ask("HEAD", f"/{bucket}/octets")
    s3.ask("PUT", f"/{bucket}/form", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=b&c=d")
    s3.ask("GET", f"/{bucket}/form")
    s3.ask("PUT", f"/{bucket}/encoded", {"Content-Encoding": "aws-chunked,gzip"}, b"x")
    s3.ask("HEAD", f"/{bucket}/encoded")


def storage_classes_and_encryption(s3: S3Server, bucket: str) -> None:
    for name in ("STANDARD", "STANDARD_IA", "GLACIER", "DEEP_ARCHIVE", "INTELLIGENT_TIERING"):
        s3.ask("PUT", f"/{bucket}/{name}", {"x-amz-storage-class": name}, b"x")
        s3.ask("GET", f"/{bucket}/{name}")
        s3.ask("HEAD", f"/{bucket}/{name}")
        s3.ask("GET", f"/{bucket}/{name}", {"Range": "bytes=0-0"})
    s3.ask("POST", f"/{bucket}/GLACIER?restore", {}, b"<RestoreRequest><Days>2</Days></RestoreRequest>")
    s3.ask("HEAD", f"/{bucket}/GLACIER")
    s3.ask("GET", f"/{bucket}/GLACIER")
    kms = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "an-id"}
    for key, headers in (("kms", kms), ("aes", {"x-amz-server-side-encryption": "AES256"})):
        s3.ask("PUT", f"/{bucket}/{key}", headers, b"x")
        s3.ask("GET", f"/{bucket}/{key}")


def odd_keys(s3: S3Server, bucket: str) -> None:
    for number, key in enumerate(ODD_KEYS):
        s3.ask("PUT", f"/{bucket}/{key}", {"x-amz-meta-n": str(number)}, key.encode())
        s3.ask("GET", f"/{bucket}/{key}")
        s3.ask("HEAD", f"/{bucket}/{key}")
        s3.ask("GET", f"/{bucket}/{key}", {"Range": "bytes=1-2"})
    for query in (
        "",
        "?list-type=2",
        "?list-type=2&encoding-type=url",
        "?encoding-type=url&delimiter=%2F",
        "?versions",
    ):
        s3.ask("GET", f"/{bucket}{query}")
    for key in ODD_KEYS[::2]:
        s3.ask("DELETE", f"/{bucket}/{key}")
    s3.ask("GET", f"/{bucket}?list-type=2")
    s3.ask("GET", f"//{bucket}/plus+plus")
    s3.ask("GET", f"/{bucket}//")


def tags_and_acls(s3: S3Server, bucket: str) -> None:
    path = f"/{bucket}/key"
    s3.ask("PUT", path, {"x-amz-tagging": "a=1&b=two%20words", "x-amz-acl": "public-read"}, b"x")
    s3.ask("HEAD", path)
    s3.ask("GET", f"{path}?tagging")
    s3.ask("GET", f"{path}?acl")
    tagging = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
    s3.ask("PUT", f"{path}?tagging", {}, tagging)
    s3.ask("GET", f"{path}?tagging")
    s3.ask("DELETE", f"{path}?tagging")
    s3.ask("GET", f"{path}?tagging")
    s3.ask("PUT", f"{path}?tagging", {}, tagging.replace(b"<Key>k", b"<Key>aws:k"))
    s3.ask("PUT", f"{path}?acl", {"x-amz-acl": "private"})
    s3.ask(
        "PUT", f"{path}?acl", {"x-amz-grant-read": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'}
    )
    s3.ask("GET", f"{path}?acl")


def copies(s3: S3Server, bucket: str) -> None:
    s3.ask(
        "PUT",
        f"/{bucket}/from",
        {"x-amz-meta-a": "1", "Content-Type": "text/csv", "x-amz-tagging": "t=1"},
        b"copied",
    )
    s3.ask("PUT", f"/{bucket}/large", {}, LARGE)
    source = {"x-amz-copy-source": f"/{bucket}/from"}
    etag = md5(b"copied").hexdigest()
    variants: list[dict[str, str]] = [
        {}, {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-b": "2"}, {"x-amz-tagging-directive": "REPLACE", "x-amz-tagging": "u=2"},
        {"x-amz-storage-class": "STANDARD_IA"}, {"x-amz-copy-source-if-none-match": f'"{etag}"'},
        {"x-amz-copy-source-if-match": '"wrong"'}, {"x-amz-checksum-algorithm": "SHA256"}, {"x-amz-acl": "public-read"},
    ]  # fmt: skip
    for number, headers in enumerate(variants):
        s3.ask("PUT", f"/{bucket}/to-{number}", source | headers)
        s3.ask("GET", f"/{bucket}/to-{number}")
        s3.ask("GET", f"/{bucket}/to-{number}?tagging")
    s3.ask("PUT", f"/{bucket}/from", source)
    s3.ask("PUT", f"/{bucket}/to", {"x-amz-copy-source": f"/{bucket}/none"})
    s3.ask("PUT", f"/{bucket}/to", {"x-amz-copy-source": "/no-such-bucket/none"})
    s3.ask("PUT", f"/{bucket}/large-copy", {"x-amz-copy-source": f"/{bucket}/large"})
    s3.ask("GET", f"/{bucket}/large-copy", {"Range": "bytes=3000000-3000009"})
    s3.ask("PUT", f"/{bucket}/large", {}, b"small now")
    s3.ask("GET", f"/{bucket}/large-copy")
    s3.ask("GET", f"/{bucket}/large")


def checksums_and_attributes(s3: S3Server, bucket: str) -> None:
    checked: dict[str, Any] = {"x-amz-checksum-mode": "ENABLED"}
    for algorithm in ("CRC32", "SHA1", "SHA256", "CRC32C", "CRC64NVME"):
        path = f"/{bucket}/{algorithm}"
        s3.ask("PUT", path, {"x-amz-sdk-checksum-algorithm": algorithm}, b"checked")
        s3.ask("GET", path, checked)
        s3.ask("HEAD", path, checked)
        s3.ask("GET", path, checked | {"Range": "bytes=0-2"})
        s3.ask("GET", path, checked | {"Range": "bytes=0-"})
        given = {f"x-amz-checksum-{algorithm.lower()}": "AAAAAA==", "x-amz-sdk-checksum-algorithm": algorithm}
        s3.ask("PUT", f"{path}-given", given, LARGE)
        s3.ask("GET", f"{path}-given", checked | {"Range": "bytes=0-99"})
        wanted = {"x-amz-object-attributes": "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"}
        s3.ask("GET", f"{path}?attributes", wanted)
        s3.ask("GET", f"{path}-given?attributes", wanted)


OBJECT_SCENARIOS: tuple[Scenario, ...] = (
    put_get_head_delete, errors, ranges, conditions, metadata_and_content_headers, storage_classes_and_encryption, odd_keys,
    tags_and_acls, copies, checksums_and_attributes,
)  # fmt: skip
