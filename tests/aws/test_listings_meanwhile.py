"""A listing is an answer whatever others write and delete meanwhile, as those of workers and jobs that share the session's S3."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.aws.conftest import Endpoint

STAY = [f"stay/{number:03}" for number in range(300)]


def test_listings_while_objects_come_and_go(endpoint: Endpoint) -> None:
    # It tries nothing a second time.
    s3 = endpoint.client("s3")
    for key in STAY:
        s3.put_object(Bucket="here", Key=key, Body=b"")
    over = threading.Event()

    def come_and_go(prefix: str) -> None:
        own = endpoint.client("s3")
        keys = [f"{prefix}/{number}" for number in range(50)]
        while not over.is_set():
            for key in keys:
                own.put_object(Bucket="here", Key=key, Body=b"")
            own.delete_objects(Bucket="here", Delete={"Objects": [{"Key": key} for key in keys]})

    with ThreadPoolExecutor(2) as others:
        busy = [others.submit(come_and_go, prefix) for prefix in ("a", "b")]
        try:
            for _ in range(10):
                found = s3.list_objects_v2(Bucket="here", Prefix="stay/")["Contents"]
                assert [entry["Key"] for entry in found] == STAY
                found = s3.list_object_versions(Bucket="here", Prefix="stay/")["Versions"]
                assert [entry["Key"] for entry in found] == STAY
        finally:
            over.set()
        for each in busy:
            each.result()
