"""The private AWS of a real session, in which these tests are what the keeper is on AWS."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.lifecycle.run_id import new_run_id

REGION = "eu-west-1"
#: How often botocore tries a call here.
ATTEMPTS = 2
_TELL = (
    "import json, os, sys; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('AWS_')}),"
    " flush=True); sys.stdin.read()"
)


@contextlib.contextmanager
def session_variables(home: Path) -> Iterator[dict[str, str]]:
    """Run `isolated-emr exec` for as long, and say how its AWS is reached."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AWS_"))}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest_isolated_emr.cli",
            "exec",
            "--region",
            REGION,
            "--",
            sys.executable,
            "-c",
            _TELL,
        ],
        env=environ | {"ISOLATED_EMR_HOME": str(home), "CI": "true"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "the session did not start"
        yield json.loads(line)
    finally:
        process.stdin.close()
        assert process.wait() == 0


class Server:
    """What an account's S3 client is made to meet, between itself and S3.

    :param account: whose client.
    """

    def __init__(self, account: Account) -> None:
        #: By how much its clock is ahead of ours.
        self.ahead = timedelta()
        #: By how much longer ago it says that objects were written.
        self.aged = timedelta()
        self._lost: list[tuple[str, Callable[[], object]]] = []
        events = account.client("s3").meta.events
        events.register("before-parse.s3", self._shift)
        events.register("before-send.s3", self._before)

    def lose_answers(self, operation: str, count: int, then: Callable[[], object] = lambda: None) -> None:
        """Have calls take their effect and their answers not come.

        :param operation: such as ``PutObject``.
        :param count: of the next answers.
        :param then: called after each.
        """
        self._lost += [(operation, then)] * count

    def _shift(self, response_dict: dict[str, Any], **_kwargs: Any) -> None:
        headers = response_dict["headers"]
        for name, by in (("date", self.ahead + self.aged), ("last-modified", self.ahead)):
            if name in headers:
                headers[name] = format_datetime(parsedate_to_datetime(headers[name]) + by, usegmt=True)

    def _before(self, request: Any, event_name: str, **_kwargs: Any) -> None:
        operation = event_name.rpartition(".")[2]
        for lost in self._lost:
            if lost[0] == operation:
                self._lost.remove(lost)
                URLLib3Session().send(request)
                lost[1]()
                raise ConnectionClosedError(endpoint_url=request.url)


@dataclass
class Scratch:
    """A bucket of one test's."""

    account: Account
    bucket: str
    prefix: str = "team/scratch"
    run_id: str = field(default_factory=new_run_id)

    @property
    def s3(self) -> Any:
        return self.account.client("s3")

    def another_account(self) -> Account:
        """The same account as another process of the user's reaches it."""
        return Account.connect(REGION)

    def put(self, key: str, body: bytes = b"x") -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def version_all(self) -> None:
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def everything(self) -> list[tuple[str, str]]:
        """Key and kind of all that is in the bucket."""
        found = []
        # By a client of its own, as a test may do something to the account's.
        s3 = self.another_account().client("s3")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for kind in ("Versions", "DeleteMarkers"):
                found += [(entry["Key"], kind) for entry in page.get(kind, ())]
        uploads = s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())
        return sorted([*found, *((upload["Key"], "Uploads") for upload in uploads)])
