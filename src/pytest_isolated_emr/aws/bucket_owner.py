"""S3 clients that say with each call whose the bucket has to be.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def expect_owner(client: Any, account_id: Callable[[], str]) -> None:
    """Have a client say so. What a call says itself stays.

    :param client: a boto3 client of S3.
    :param account_id: returns the account's number; empty for whoever.
    """

    def add(params: dict[str, Any], model: Any, **_kwargs: Any) -> dict[str, Any] | None:
        owner = account_id()
        if owner and "ExpectedBucketOwner" in model.input_shape.members:
            return {"ExpectedBucketOwner": owner, **params}
        return None

    client.meta.events.register("provide-client-params.s3", add)
