"""What is asked of two servers of S3 about buckets, uploads in parts, and by boto3."""

from __future__ import annotations

import io
import re
from typing import Any

from .s3_answers import S3Server
from .s3_object_scenarios import LARGE, Scenario

PART = LARGE[: 5 << 20]


def buckets(s3: S3Server, bucket: str) -> None:
    other = f"{bucket}-other"
    location = b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
    s3.ask("PUT", f"/{other}", {}, location)
    s3.ask("PUT", f"/{other}", {}, location)
    s3.ask("PUT", f"/{other}")
    s3.ask("PUT", "/ab")
    s3.ask("PUT", f"/{other}/", {}, location)
    for path in (f"/{other}", f"/{other}/", "/no-such-bucket"):
        s3.ask("HEAD", path)
        s3.ask("GET", path)
    s3.ask("PUT", f"/{other}/key", {}, b"x")
    s3.ask("DELETE", f"/{other}")
    s3.ask("DELETE", f"/{other}/key")
    s3.ask("DELETE", f"/{other}")
    s3.ask("DELETE", f"/{other}")
    for name in (
        "location", "versioning", "policy", "policyStatus", "lifecycle", "acl", "tagging", "logging", "cors", "notification",
        "accelerate", "publicAccessBlock", "encryption", "replication", "ownershipControls", "object-lock", "website", "uploads",
        "versions", "inventory", "requestPayment", "metrics", "nonsense",
    ):  # fmt: skip
        s3.ask("GET", f"/{bucket}?{name}")
        s3.ask("GET", f"/{bucket}/?{name}=")
        s3.ask("DELETE", f"/{bucket}-none?{name}")
        s3.ask("PUT", f"/{bucket}?{name}", {}, b"<nonsense/>")


def settings_of_a_bucket(s3: S3Server, bucket: str) -> None:
    rule = b"<AllowedOrigin>https://a.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod><MaxAgeSeconds>9</MaxAgeSeconds>"
    s3.ask(
        "PUT",
        f"/{bucket}?cors",
        {},
        b"<CORSConfiguration><CORSRule>" + rule + b"</CORSRule></CORSConfiguration>",
    )
    s3.ask("PUT", f"/{bucket}/key", {}, b"x")
    for origin in ("https://a.example", "https://b.example"):
        for method in ("GET", "HEAD", "OPTIONS", "PUT"):
            asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            s3.ask(method, f"/{bucket}/key", asked)
            s3.ask("OPTIONS", f"/{bucket}", asked)
    s3.ask("GET", f"/{bucket}?cors")
    policy = b'{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s/*"}]}'
    s3.ask("PUT", f"/{bucket}?policy", {}, policy % bucket.encode())
    s3.ask("GET", f"/{bucket}?policy")
    s3.ask("GET", f"/{bucket}/key")
    s3.ask("HEAD", f"/{bucket}/key")
    s3.ask("DELETE", f"/{bucket}?policy")
    s3.ask("GET", f"/{bucket}/key")
    s3.call(lambda c: c.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
    ))  # fmt: skip
    s3.ask("PUT", f"/{bucket}/encrypted", {}, b"x")
    s3.ask("GET", f"/{bucket}/encrypted")
    s3.call(lambda c: c.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}))
    s3.ask("GET", f"/{bucket}?tagging")


def listings(s3: S3Server, bucket: str) -> None:
    keys = [
        f"{folder}{name}"
        for folder in ("", "a/", "a/b/", "c%20d/", "p=1/")
        for name in ("1", "2", "%C3%BC", "z%2Bz")
    ]
    for key in keys:
        s3.ask("PUT", f"/{bucket}/{key}", {}, key.encode())
    for number, kind in enumerate(("STANDARD_IA", "GLACIER", "STANDARD")):
        headers = {"x-amz-storage-class": kind, "x-amz-sdk-checksum-algorithm": "SHA256"}
        s3.ask("PUT", f"/{bucket}/k%25s%3C%26%3E{number}", headers, b"x" * number)
    for version in ("", "list-type=2&", "versions&"):
        for rest in (
            "", "prefix=", "prefix=a%2F", "prefix=a/&delimiter=/", "delimiter=%2F", "delimiter=/&prefix=none", "prefix=c+d/",
            "prefix=c%20d", "prefix=%C3%BC", "delimiter=b", "delimiter=1&prefix=a", "max-keys=0", "max-keys=3", "max-keys=1000",
            "max-keys=2&delimiter=/", "max-keys=-1", "max-keys=x", "encoding-type=url", "encoding-type=url&delimiter=/&prefix=c",
            "marker=a/1", "marker=zzz", "start-after=a%2F2", "start-after=a/2&max-keys=2", "fetch-owner=true",
            "continuation-token=", "continuation-token=nonsense", "key-marker=a%2F", "key-marker=a/1&max-keys=1",
            "max-keys=3&marker=1&delimiter=%2F",
        ):  # fmt: skip
            s3.ask("GET", f"/{bucket}?{version}{rest}")
    token = ""
    for _ in range(9):
        page = s3.ask("GET", f"/{bucket}?list-type=2&max-keys=3&delimiter=/{token}")
        if b"<NextContinuationToken>" not in page.body:
            break
        token = "&continuation-token=" + page.tag("NextContinuationToken")
    s3.ask("GET", "/")
    s3.ask("GET", f"/?prefix={bucket}")
    s3.call(
        lambda c: [
            page["KeyCount"] for page in c.get_paginator("list_objects_v2").paginate(Bucket=bucket, MaxKeys=4)
        ]
    )


def versions(s3: S3Server, bucket: str) -> None:
    enable = b"<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>"
    s3.ask("PUT", f"/{bucket}/early", {}, b"before")
    s3.ask("PUT", f"/{bucket}?versioning", {}, enable % b"Enabled")
    s3.ask("GET", f"/{bucket}?versioning")
    path = f"/{bucket}/key"
    first = s3.ask("PUT", path, {}, b"first").header("x-amz-version-id")
    second = s3.ask("PUT", path, {}, LARGE).header("x-amz-version-id")
    for version in (first, second, "null", "none"):
        s3.ask("GET", f"{path}?versionId={version}", {"Range": "bytes=1-3"})
        s3.ask("HEAD", f"{path}?versionId={version}")
    s3.ask("GET", f"/{bucket}?versions")
    marker = s3.ask("DELETE", path).header("x-amz-version-id")
    for method in ("GET", "HEAD"):
        s3.ask(method, path)
        s3.ask(method, f"{path}?versionId={marker}")
    s3.ask("GET", f"/{bucket}?versions&prefix=k")
    s3.ask("GET", f"/{bucket}?list-type=2")
    s3.ask("DELETE", f"{path}?versionId={marker}")
    s3.ask("GET", path)
    s3.ask("DELETE", f"{path}?versionId={second}")
    s3.ask("GET", path)
    s3.ask("PUT", f"/{bucket}/copy", {"x-amz-copy-source": f"/{bucket}/key?versionId={first}"})
    s3.ask("PUT", f"/{bucket}?versioning", {}, enable % b"Suspended")
    s3.ask("PUT", path, {}, b"without")
    s3.ask("GET", f"/{bucket}?versions")


def uploads_in_parts(s3: S3Server, bucket: str) -> None:
    path = f"/{bucket}/joined"
    s3.ask("PUT", f"/{bucket}/source", {}, LARGE)
    started = s3.ask(
        "POST", f"{path}?uploads", {"x-amz-meta-a": "1", "Content-Type": "text/x", "x-amz-tagging": "t=1"}
    )
    upload = started.tag("UploadId")
    s3.ask("GET", f"/{bucket}?uploads")
    etags = {1: s3.ask("PUT", f"{path}?partNumber=1&uploadId={upload}", {}, PART).header("etag")}
    copied = {"x-amz-copy-source": f"/{bucket}/source", "x-amz-copy-source-range": "bytes=100-5300000"}
    etags[2] = s3.ask("PUT", f"{path}?partNumber=2&uploadId={upload}", copied).tag("ETag")
    etags[3] = s3.ask("PUT", f"{path}?partNumber=3&uploadId={upload}", {}, b"replaced").header("etag")
    etags[3] = s3.ask("PUT", f"{path}?partNumber=3&uploadId={upload}", {}, b"the end").header("etag")
    s3.ask("PUT", f"{path}?partNumber=4&uploadId={upload}", {"x-amz-copy-source": f"/{bucket}/none"})
    s3.ask("PUT", f"{path}?partNumber=4&uploadId=nonsense", {}, b"x")
    s3.ask("GET", f"{path}?uploadId={upload}")
    s3.ask("GET", f"{path}?uploadId={upload}&max-parts=1&part-number-marker=1")
    s3.ask("GET", path)
    s3.ask("POST", f"{path}?uploadId={upload}", {}, completion({1: '"wrong"'}))
    s3.ask("POST", f"{path}?uploadId={upload}", {}, completion({3: etags[3], 1: etags[1]}))
    s3.ask("POST", f"{path}?uploadId={upload}", {}, b"<CompleteMultipartUpload/>")
    s3.ask("POST", f"{path}?uploadId={upload}", {}, completion(etags))
    s3.ask("POST", f"{path}?uploadId={upload}", {}, completion(etags))
    for method in ("GET", "HEAD"):
        s3.ask(method, path)
        for number in (1, 2, 3, 9, 0):
            s3.ask(method, f"{path}?partNumber={number}")
        s3.ask(method, path, {"Range": "bytes=5242878-5242881"})
    s3.ask("GET", f"{path}?tagging")
    s3.ask("PUT", f"/{bucket}/copied", {"x-amz-copy-source": path})
    s3.ask("GET", f"{path}?attributes", {"x-amz-object-attributes": "ETag,ObjectParts,ObjectSize,Checksum"})
    s3.ask("GET", f"/{bucket}/source?partNumber=1")
    s3.ask("GET", f"/{bucket}/source?partNumber=2")
    s3.ask("HEAD", f"/{bucket}/source?partNumber=1")
    ended = s3.ask("POST", f"{path}?uploads").tag("UploadId")
    s3.ask("PUT", f"{path}?partNumber=1&uploadId={ended}", {}, b"small")
    s3.ask("PUT", f"{path}?partNumber=2&uploadId={ended}", {}, b"small")
    tiny = s3.ask("GET", f"{path}?uploadId={ended}").tag("ETag")
    s3.ask("POST", f"{path}?uploadId={ended}", {}, completion({1: tiny, 2: tiny}))
    s3.ask("DELETE", f"{path}?uploadId={ended}")
    s3.ask("DELETE", f"{path}?uploadId={ended}")
    s3.ask("GET", f"/{bucket}?uploads")
    s3.ask("GET", path, {"Range": "bytes=-7"})
    s3.ask("DELETE", path)
    s3.ask("GET", f"/{bucket}/copied")


def completion(etags: dict[int, str]) -> bytes:
    parts = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in etags.items()
    )
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def batches_of_deletes(s3: S3Server, bucket: str) -> None:
    for key in ("a", "b", "c%20d", "%C3%BC", "e%2Bf"):
        s3.ask("PUT", f"/{bucket}/{key}", {}, b"x")
    body = "<Delete><Object><Key>a</Key></Object><Object><Key>ü</Key></Object><Object><Key>none</Key></Object></Delete>"
    for kind in ("application/xml", "text/xml", ""):
        s3.ask("POST", f"/{bucket}?delete", {"Content-Type": kind} if kind else {}, body.encode())
    s3.ask(
        "POST",
        f"/{bucket}/?delete",
        {},
        b"<Delete><Quiet>true</Quiet><Object><Key>c d</Key></Object></Delete>",
    )
    s3.ask("POST", f"/{bucket}?delete", {}, b"<Delete></Delete>")
    s3.ask("POST", f"/{bucket}?delete", {}, b"<nonsense")
    s3.call(
        lambda c: c.delete_objects(
            Bucket=bucket, Delete={"Objects": [{"Key": "e+f"}, {"Key": "b", "VersionId": "v"}]}
        )
    )
    s3.ask("GET", f"/{bucket}")


def presigned(s3: S3Server, bucket: str) -> None:
    s3.ask("PUT", f"/{bucket}/key", {}, b"signed")
    for version in ("s3v4", "s3"):
        client = s3.client(signature_version=version)

        def url(operation: str, client: Any = client, **params: Any) -> str:
            signed: str = client.generate_presigned_url(operation, {"Bucket": bucket, **params})
            # Credentials and signatures are in the request's line.
            s3.name(signed.removeprefix(s3.url), f"signed {operation}")
            if expires := re.search(r"Expires=(\d{10})", signed):
                # moto takes it for the header of that name.
                s3.name(expires[1], "EXPIRES")
            return signed

        s3.ask("GET", url("get_object", Key="key"), signed=False)
        s3.ask("GET", url("get_object", Key="key", ResponseContentType="a/b"), signed=False)
        s3.ask("GET", url("get_object", Key="key"), {"Range": "bytes=1-2"}, signed=False)
        s3.ask("GET", url("get_object", Key="none"), signed=False)
        s3.ask("HEAD", url("head_object", Key="key"), signed=False)
        s3.ask("PUT", url("put_object", Key="put"), {}, b"by a URL", signed=False)
        s3.ask(
            "PUT",
            url("put_object", Key="typed", ContentType="a/b"),
            {"Content-Type": "a/b"},
            b"typed",
            signed=False,
        )
        s3.ask("GET", url("list_objects_v2"), signed=False)
        s3.ask("GET", f"/{bucket}/put")
        s3.ask("DELETE", url("delete_object", Key="put"), signed=False)
    for key in ("posted", "${filename}"):
        post = s3.client().generate_presigned_post(
            bucket, key, {"acl": "public-read"}, [{"acl": "public-read"}]
        )
        body = b"".join(
            f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in post["fields"].items()
        )
        body += b'--edge\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nposted\r\n--edge--\r\n'
        s3.ask(
            "POST", f"/{bucket}", {"Content-Type": "multipart/form-data; boundary=edge"}, body, signed=False
        )
        s3.ask(
            "POST", f"/{bucket}/", {"Content-Type": "multipart/form-data; boundary=edge"}, body, signed=False
        )
    s3.ask("GET", f"/{bucket}/posted")
    s3.ask("GET", f"/{bucket}")


def chunked_uploads(s3: S3Server, bucket: str) -> None:
    def chunks(body: bytes, signature: str, trailer: bytes) -> bytes:
        pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)] + [b""]
        framed = [
            f"{len(piece):x}{signature}".encode() + b"\r\n" + piece + b"\r\n" * bool(piece)
            for piece in pieces
        ]
        return b"".join(framed) + trailer + b"\r\n"

    signed = ";chunk-signature=" + "0" * 64
    trailer = b"x-amz-checksum-crc32:AAAAAA==\r\n"
    for key, body in (("small", b"in chunks"), ("large", LARGE), ("empty", b"")):
        length = {"x-amz-decoded-content-length": str(len(body)), "Content-Encoding": "aws-chunked"}
        for kind, signature, end in (
            ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", signed, b""),
            ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", signed, trailer),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "", trailer),
        ):
            headers = {"x-amz-content-sha256": kind, "x-amz-trailer": "x-amz-checksum-crc32", **length}
            for algorithm in ({}, {"x-amz-sdk-checksum-algorithm": "CRC32"}):
                s3.ask("PUT", f"/{bucket}/{key}", headers | algorithm, chunks(body, signature, end))
                s3.ask("GET", f"/{bucket}/{key}", {"x-amz-checksum-mode": "ENABLED"})
                s3.ask("GET", f"/{bucket}/{key}", {"Range": "bytes=2-4"})


def by_boto3(s3: S3Server, bucket: str) -> None:
    for body in (b"", b"bytes", LARGE):
        s3.call(lambda c, body=body: c.put_object(Bucket=bucket, Key="bytes", Body=body))
        s3.call(lambda c, body=body: c.put_object(Bucket=bucket, Key="file", Body=io.BytesIO(body)))
        s3.call(lambda c, body=body: c.upload_fileobj(io.BytesIO(body), bucket, "transferred"))
        for key in ("bytes", "file", "transferred"):
            s3.call(lambda c, key=key: c.get_object(Bucket=bucket, Key=key))
            s3.call(lambda c, key=key: c.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED"))
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        s3.call(lambda c, a=algorithm: c.put_object(Bucket=bucket, Key=a, Body=b"x", ChecksumAlgorithm=a))
        s3.call(lambda c, a=algorithm: c.get_object(Bucket=bucket, Key=a, ChecksumMode="ENABLED"))
    s3.call(lambda c: c.get_object(Bucket=bucket, Key="none"))
    s3.call(lambda c: c.get_object(Bucket="no-such-bucket", Key="none"))
    s3.call(lambda c: c.get_object(Bucket=bucket, Key="bytes", Range="bytes=99999999-"))
    s3.call(lambda c: c.copy({"Bucket": bucket, "Key": "bytes"}, bucket, "copied"))
    s3.call(lambda c: c.list_objects_v2(Bucket=bucket))
    s3.call(lambda c: c.put_object(Bucket=bucket, Key="people.csv", Body=b"name,age\nann,3\nbob,4\n"))
    s3.call(lambda c: c.select_object_content(
        Bucket=bucket,
        Key="people.csv",
        Expression="SELECT * FROM S3Object",
        ExpressionType="SQL",
        InputSerialization={"CSV": {"FileHeaderInfo": "USE"}},
        OutputSerialization={"JSON": {"RecordDelimiter": ","}},
    ))  # fmt: skip


BUCKET_SCENARIOS: tuple[Scenario, ...] = (
    buckets, settings_of_a_bucket, listings, versions, uploads_in_parts, batches_of_deletes, presigned, chunked_uploads, by_boto3,
)  # fmt: skip
