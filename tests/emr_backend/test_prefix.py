"""The end of a run's prefix: all of it, and nothing beside it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from pytest_isolated_emr.backends.emr.prefix import RunPrefix
from tests.emr_backend.s3_endpoint import Scratch

RUN_ID = "20261123t211623-9f3c2a"


@pytest.fixture
def prefix(scratch: Scratch) -> RunPrefix:
    return RunPrefix(scratch.account, scratch.bucket, scratch.prefix, RUN_ID)


def start_upload(scratch: Scratch, key: str) -> None:
    upload = scratch.s3.create_multipart_upload(Bucket=scratch.bucket, Key=key)["UploadId"]
    scratch.s3.upload_part(Bucket=scratch.bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"part")


def test_places(prefix: RunPrefix, scratch: Scratch):
    assert prefix.uri == f"s3://{scratch.bucket}/team/scratch/{RUN_ID}"
    assert prefix.key("code", "timer.sh") == f"team/scratch/{RUN_ID}/code/timer.sh"
    assert prefix.lease_key == f"team/scratch/{RUN_ID}/lease.json"


@pytest.mark.parametrize("refused", ["", "/", "team/", "/team", "team//scratch", "..", "team/.", "team/../x"])
def test_a_prefix_that_is_none(scratch: Scratch, refused: str):
    with pytest.raises(ValueError, match="prefix of a scratch"):
        RunPrefix(scratch.account, scratch.bucket, refused, RUN_ID)


@pytest.mark.parametrize("refused", ["", "..", "20261123t211623-", f"{RUN_ID}/", f"{RUN_ID}/x", f" {RUN_ID}"])
def test_a_run_id_that_is_none(scratch: Scratch, refused: str):
    with pytest.raises(ValueError, match="not a run id"):
        RunPrefix(scratch.account, scratch.bucket, scratch.prefix, refused)


@pytest.mark.parametrize("refused", ["", "bucket/team"])
def test_a_bucket_that_is_none(scratch: Scratch, refused: str):
    with pytest.raises(ValueError, match="bucket"):
        RunPrefix(scratch.account, refused, scratch.prefix, RUN_ID)


@pytest.mark.parametrize("versioned", [False, True])
def test_all_of_it_goes_and_neighbours_stay(prefix: RunPrefix, scratch: Scratch, versioned: bool):
    if versioned:
        scratch.version_all()
    neighbours = [
        f"team/scratch/{RUN_ID}0/lease.json",
        f"team/scratch/{RUN_ID}",
        f"team/scratch/{RUN_ID}-more/x",
        "team/scratch/20261123t211623-9f3c2/x",
        "team/scratch/.isolated-emr/slots/0.json",
        "team/scratch/table/part-0",
        f"{RUN_ID}/x",
        f"other/team/scratch/{RUN_ID}/x",
    ]
    for key in neighbours:
        scratch.put(key)
        scratch.put(key, b"again")
    start_upload(scratch, f"team/scratch/{RUN_ID}0/big")
    before = scratch.everything()
    names = [
        "lease.json",
        "logs/j-1/stderr.gz",
        "scratch/a b+c%20&é/part-0",
        "scratch/",
        "scratch//x",
        "x" * 900,
    ]
    for name in names:
        for body in (b"1", b"2"):
            scratch.put(prefix.key(name), body)
    if versioned:
        scratch.s3.delete_object(Bucket=scratch.bucket, Key=prefix.key("scratch/"))
        assert (prefix.key("scratch/"), "DeleteMarkers") in scratch.everything()
    start_upload(scratch, prefix.key("scratch/big"))
    assert prefix.empty() == []
    assert scratch.everything() == before
    assert prefix.empty() == []
    assert scratch.everything() == before


def test_keys_that_xml_cannot_carry(prefix: RunPrefix, scratch: Scratch):
    """AWS lists them by EncodingType=url; moto does not list them, so that the first list is made up."""
    keys = [prefix.key("return\r"), prefix.key("bell\x07"), prefix.key("plain")]
    for key in keys:
        scratch.put(key)
    pages = iter([{"Versions": [{"Key": key, "VersionId": "null"} for key in keys]}])

    def answer(**_kwargs: Any) -> tuple[Any, Any] | None:
        for page in pages:
            return AWSResponse("", 200, {}, None), page
        return None

    scratch.s3.meta.events.register("before-call.s3.ListObjectVersions", answer)
    assert prefix.empty() == []
    assert scratch.everything() == []


def test_versions_from_before_the_bucket_had_them(prefix: RunPrefix, scratch: Scratch):
    scratch.put(prefix.key("x"))
    scratch.version_all()
    scratch.put(prefix.key("x"), b"2")
    assert prefix.empty() == []
    assert scratch.everything() == []


@pytest.mark.parametrize("versioned", [False, True])
def test_more_than_a_page(prefix: RunPrefix, scratch: Scratch, versioned: bool):
    if versioned:
        scratch.version_all()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(scratch.put, [prefix.key(f"scratch/{number}") for number in range(2500)]))
    scratch.put(prefix.lease_key)
    told: list[str] = []
    passes: list[str] = []
    scratch.s3.meta.events.register(
        "before-call.s3.ListMultipartUploads", lambda **_kwargs: passes.append("one more")
    )
    assert prefix.empty(told.append) == []
    assert scratch.everything() == []
    # The lease is in one of three pages, and goes by itself.
    assert len(told) == 4
    assert told[-1] == "2501 objects and versions deleted"
    # One that found all of them, and one that found nothing more.
    assert len(passes) == 2


def test_the_lease_goes_last(prefix: RunPrefix, scratch: Scratch):
    scratch.version_all()
    for name in ("a", "lease.json", "lease.json", "z"):
        scratch.put(prefix.key(name))
    calls: list[list[str]] = []

    def note(params: dict[str, Any], **_kwargs: Any) -> None:
        calls.append([entry["Key"] for entry in params["Delete"]["Objects"]])

    scratch.s3.meta.events.register("provide-client-params.s3.DeleteObjects", note)
    assert prefix.empty() == []
    assert calls == [[prefix.key("a"), prefix.key("z")], [prefix.lease_key, prefix.lease_key]]


def test_what_is_written_meanwhile_goes_too(prefix: RunPrefix, scratch: Scratch):
    scratch.put(prefix.key("a"))
    late = iter(["logs/late-1", "logs/late-2"])

    def write(**_kwargs: Any) -> None:
        for name in late:
            scratch.put(prefix.key(name))
            break

    scratch.s3.meta.events.register("after-call.s3.DeleteObjects", write)
    assert prefix.empty() == []
    assert scratch.everything() == []


def test_what_is_written_without_end(prefix: RunPrefix, scratch: Scratch):
    for name in ("a", "lease.json"):
        scratch.put(prefix.key(name))
    scratch.s3.meta.events.register(
        "after-call.s3.DeleteObjects", lambda **_kwargs: scratch.put(prefix.key("more"))
    )
    assert prefix.empty() == [f"{prefix.uri}/: more is written there while it is emptied"]
    assert (prefix.lease_key, "Versions") in scratch.everything()


def deny(scratch: Scratch, *resources: str) -> None:
    """What S3 answers is moto's, by the bucket's policy."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": [f"arn:aws:s3:::{scratch.bucket}/{resource}" for resource in resources],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    scratch.s3.put_bucket_policy(Bucket=scratch.bucket, Policy=policy)


def test_objects_that_may_not_be_deleted(prefix: RunPrefix, scratch: Scratch):
    for name in ("lease.json", "scratch/a", "scratch/held-1", "scratch/held-2"):
        scratch.put(prefix.key(name))
    deny(scratch, prefix.key("scratch/held-1"), prefix.key("scratch/held-2"))
    (problem,) = prefix.empty()
    assert prefix.key("scratch/held-1") in problem
    assert prefix.key("scratch/held-2") in problem
    assert "AccessDenied" in problem
    left = [key for key, _ in scratch.everything()]
    assert left == [prefix.lease_key, prefix.key("scratch/held-1"), prefix.key("scratch/held-2")]
    scratch.s3.delete_bucket_policy(Bucket=scratch.bucket)
    assert prefix.empty() == []
    assert scratch.everything() == []


def test_many_of_them_are_told_in_one_line(prefix: RunPrefix, scratch: Scratch):
    keys = [prefix.key(f"scratch/{number}") for number in range(5)]
    for key in keys:
        scratch.put(key)
    deny(scratch, *keys)
    (problem,) = prefix.empty()
    assert "and 2 more: AccessDenied" in problem


@pytest.mark.parametrize(
    ("operation", "right"),
    [
        ("ListObjectVersions", "s3:ListBucketVersions"),
        ("ListMultipartUploads", "s3:ListBucketMultipartUploads"),
        ("DeleteObjects", "s3:DeleteObjectVersion"),
    ],
)
def test_a_right_that_is_missing_is_named(prefix: RunPrefix, scratch: Scratch, operation: str, right: str):
    for name in ("a", "lease.json"):
        scratch.put(prefix.key(name))

    def refuse(response_dict: dict[str, Any], **_kwargs: Any) -> None:
        response_dict["status_code"] = 403
        response_dict["body"] = (
            b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code>"
            b"<Message>Access Denied</Message></Error>"
        )

    scratch.s3.meta.events.register(f"before-parse.s3.{operation}", refuse)
    problems = prefix.empty()
    assert len(problems) == 1
    assert right in problems[0]
    assert "AccessDenied" in problems[0]
    if operation != "DeleteObjects":
        assert (prefix.lease_key, "Versions") in scratch.everything()


def test_keys_that_were_not_asked_for_are_not_deleted(prefix: RunPrefix, scratch: Scratch):
    """As if a proxy or another service in S3's place ignored the prefix."""
    scratch.put(prefix.key("a"))
    scratch.put("team/production/table")
    before = scratch.everything()

    def ask_for_all(params: dict[str, Any], **_kwargs: Any) -> None:
        params["Prefix"] = ""

    scratch.s3.meta.events.register("provide-client-params.s3.ListObjectVersions", ask_for_all)
    (problem,) = prefix.empty()
    assert "team/production/table" in problem
    assert scratch.everything() == before
