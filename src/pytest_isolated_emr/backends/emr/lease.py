"""Leases: objects that prove, by S3's own clock, that their owner is alive or has been gone for long.

The owner writes the object again and again. Who reads it compares two times of the same answer: when it was last written, and
what time it is. No clock of any other machine has a part in it.
Each write is conditional (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html), so that of
two that want the same object one is refused, and an owner whose lease was taken away hears of it.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from botocore.exceptions import ClientError

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account, aws_errors, code_of
from pytest_isolated_emr.backends.emr.clock import elapsed_clock, server_time
from pytest_isolated_emr.lifecycle.host import Host, this_host
from pytest_isolated_emr.lifecycle.run_id import is_run_id

#: A lease never lapses sooner than this, in seconds, whatever its body says.
SHORTEST = 5.0
#: And so much later for others than for its owner, in seconds: S3 tells whole seconds, and its servers' clocks differ.
SLACK = 5.0
#: Longer ones are taken for damage: nobody would ever remove what they protect.
LONGEST = 24 * 3600.0

# A body is some 300 bytes.
_LARGEST = 16384
# S3 refuses a conditional write that meets another with 409, and says to try again.
_ATTEMPTS = 5


@dataclass(frozen=True)
class LeaseBody:
    """What a lease says of its owner.

    :param run_id: the session's.
    :param owner: who started it, as ``user`` or an ARN.
    :param host: the machine that it runs on.
    :param pid: its keeper's.
    :param started: when it took the lease, by its own clock; for people, nothing is judged by it.
    :param seconds: how long the lease lasts that is not renewed.
    :param token: tells this owner's writes from everybody else's.
    :param count: of the owner's writes, so that each has an ETag of its own.
    """

    run_id: str
    owner: str
    host: Host
    pid: int
    started: datetime
    seconds: float
    token: str
    count: int = 0

    @classmethod
    def of_this_process(cls, run_id: str, owner: str, seconds: float) -> LeaseBody:
        """Return the body of a new lease.

        :param run_id: the session's.
        :param owner: who started it.
        :param seconds: how long the lease lasts that is not renewed.
        """
        started = datetime.now(timezone.utc).replace(microsecond=0)
        return cls(run_id, owner, this_host(), os.getpid(), started, seconds, secrets.token_hex(16))

    def to_bytes(self) -> bytes:
        """Return the body as it is stored."""
        fields = {
            "run_id": self.run_id,
            "owner": self.owner,
            "host": self.host.to_dict(),
            "pid": self.pid,
            "started": self.started.isoformat(),
            "seconds": self.seconds,
            "token": self.token,
            "count": self.count,
        }
        return json.dumps(fields, indent=1).encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> LeaseBody:
        """Read what :meth:`to_bytes` gave.

        :param stored: the object's bytes, which anybody may have written.
        :raises ValueError: they are not a lease's.
        """
        try:
            fields = json.loads(stored)
        except RecursionError:
            raise ValueError("not a lease: nested too deep") from None
        if not isinstance(fields, dict) or not isinstance(fields.get("host"), dict):
            raise ValueError("not a lease: its fields are missing")
        host = Host.from_dict(fields["host"])
        texts = [fields.get(name) for name in ("run_id", "owner", "started", "token")]
        # They are shown to people, on terminals.
        for text in [*texts, host.name, host.machine_id]:
            if not isinstance(text, str) or not text or not text.isprintable():
                raise ValueError("not a lease: a text is missing or cannot be shown")
        run_id, owner, started, token = (str(text) for text in texts)
        if not is_run_id(run_id):
            raise ValueError(f"not a lease: no run id: {run_id!r}")
        pid, seconds, count = (fields.get(name) for name in ("pid", "seconds", "count"))
        if type(pid) is not int or type(count) is not int:  # a bool is an int too
            raise ValueError("not a lease: pid or count is no number")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= LONGEST:
            raise ValueError(f"not a lease: it lasts {seconds!r} seconds")
        return cls(run_id, owner, host, pid, _when(started), float(seconds), token, count)


def _when(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"not a lease: {text!r} has no time zone")
    return when


@dataclass(frozen=True)
class LeaseState:
    """A lease as it was when it was read.

    :param key: the object's.
    :param body: what it says; None if that is damaged.
    :param age: since the last write, by S3's clock; None if S3's answer does not say.
    :param etag: of what was read.
    :param version: of what was read; empty in a bucket that has no versions, and ``null`` where it has had none.
    """

    key: str
    body: LeaseBody | None
    age: timedelta | None
    etag: str
    version: str = ""

    @property
    def is_dated(self) -> bool:
        """Whether it can be told at all how old the lease is, and how old it may become."""
        return self.body is not None and self.age is not None

    @property
    def is_lapsed(self) -> bool:
        """Whether its owner has surely stopped by its own rule. One that cannot be dated never is."""
        if self.body is None or self.age is None:
            return False
        return self.age > timedelta(seconds=max(self.body.seconds, SHORTEST) + SLACK)


def read_lease(account: Account, bucket: str, key: str) -> LeaseState | None:
    """Return a lease as it is now, or None if there is none.

    :param account: whose bucket it is in.
    :param bucket: its name.
    :param key: the lease's.
    :raises IsolatedEmrError: AWS refused it, or did not answer.
    """
    s3 = account.client("s3")
    with aws_errors(f"reading the lease s3://{bucket}/{key} (s3:GetObject)"):
        try:
            answer = s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        stored = answer["Body"].read(_LARGEST + 1)
    try:
        body = LeaseBody.from_bytes(stored) if len(stored) <= _LARGEST else None
    except ValueError:
        body = None
    return LeaseState(key, body, _age(answer), str(answer["ETag"]), str(answer.get("VersionId") or ""))


def _age(answer: dict[str, Any]) -> timedelta | None:
    now = server_time(answer)
    return None if now is None else now - answer["LastModified"]


class Lease:
    """A lease as its owner has it. Its methods make calls to S3; :attr:`has_lapsed` makes none.

    :param account: whose bucket it is in.
    :param bucket: its name.
    :param key: the lease's.
    :param body: what it says.
    :param clock: seconds, as :func:`elapsed_clock` has them.
    """

    def __init__(
        self,
        account: Account,
        bucket: str,
        key: str,
        body: LeaseBody,
        *,
        clock: Callable[[], float] = elapsed_clock,
    ) -> None:
        self._account = account
        self._s3 = account.client("s3")
        self._bucket = bucket
        self.key = key
        self.body = body
        self._clock = clock
        self._etag = ""
        self._sent = -math.inf

    @property
    def uri(self) -> str:
        """Where it is, as ``s3://bucket/key``."""
        return f"s3://{self._bucket}/{self.key}"

    @property
    def has_lapsed(self) -> bool:
        """Whether others may take it for lapsed, counted from when the last write that was answered was sent."""
        return self._clock() - self._sent >= self.body.seconds

    def take(self) -> None:
        """Write the lease where there is none.

        :raises LeaseLapsed: there is one, of somebody else.
        :raises IsolatedEmrError: AWS refused it, or did not answer.
        """
        self._write({"IfNoneMatch": "*"})

    def take_over(self, state: LeaseState) -> None:
        """Write the lease in place of another, if that is still as it was read.

        :param state: the other, which has lapsed.
        :raises LeaseLapsed: it is not as it was any more.
        :raises IsolatedEmrError: AWS refused it, or did not answer.
        """
        self._write({"IfMatch": state.etag})

    def renew(self) -> None:
        """Write the lease again.

        :raises LeaseLapsed: it is not ours any more, or was not renewed for so long that others may have acted on it.
        :raises IsolatedEmrError: AWS refused it, or did not answer. It may be called again.
        """
        if self.has_lapsed:
            raise self._lost(
                f"it was not renewed for {self.body.seconds:.0f} seconds, by this machine's clock"
            )
        self._write({"IfMatch": self._etag})

    def remove(self) -> None:
        """Delete the lease, if it is still ours; it may be gone already.

        :raises IsolatedEmrError: AWS refused it, or did not answer.
        """
        state = read_lease(self._account, self._bucket, self.key)
        if state is not None and state.body is not None and state.body.token == self.body.token:
            remove_lease(self._account, self._bucket, state)

    def _write(self, condition: dict[str, str]) -> None:
        # Whatever comes of it, no two writes are the same.
        self.body = body = replace(self.body, count=self.body.count + 1)
        # Before the first attempt, as any of them may be the one that S3 dates the object by.
        sent = self._clock()
        for _ in range(_ATTEMPTS):
            try:
                with aws_errors(f"writing the lease {self.uri} (s3:PutObject)"):
                    answer = self._s3.put_object(
                        Bucket=self._bucket,
                        Key=self.key,
                        Body=body.to_bytes(),
                        ContentType="application/json",
                        **condition,
                    )
                self._etag, self._sent = str(answer["ETag"]), sent
                return
            except errors.IsolatedEmrError as error:
                found = self._found_after(error)
            if found is None:
                continue
            if found.body is not None and found.body.count == body.count:
                # This very write, whose answer was lost.
                self._etag, self._sent = found.etag, sent
                return
            # An earlier write of ours, whose answer was lost.
            condition = {"IfMatch": found.etag}
        raise errors.AwsUnreachable(
            "A lease could not be written, as something else writes it all the time.",
            checked=f"{self.uri}, {_ATTEMPTS} times",
            cure="Run again; if it recurs, look who writes below the scratch's prefix.",
        )

    def _found_after(self, error: errors.IsolatedEmrError) -> LeaseState | None:
        """Return our own lease as a write that failed left it, or None if the write is to be tried again."""
        cause = error.__cause__
        code = code_of(cause) if isinstance(cause, ClientError) else ""
        if code == "ConditionalRequestConflict":
            return None
        if code == "NoSuchKey":
            raise self._lost("it was deleted") from error
        if code != "PreconditionFailed" and not isinstance(error, errors.AwsUnreachable):
            raise error
        try:
            found = read_lease(self._account, self._bucket, self.key)
        except errors.AwsUnreachable:
            raise error from cause
        is_ours = found is not None and found.body is not None and found.body.token == self.body.token
        if code == "PreconditionFailed":
            if not is_ours:
                raise self._lost(f"it is {_whose(found)}") from error
            return found
        if is_ours and found is not None and found.body is not None and found.body.count == self.body.count:
            return found
        raise error

    def _lost(self, what: str) -> errors.LeaseLapsed:
        return errors.LeaseLapsed(
            "The session's lease is not its own any more.",
            checked=f"{self.uri}: {what}",
            cure="Run again. A machine that slept or was cut off for long loses its lease; a sweep takes it then.",
        )


def remove_lease(account: Account, bucket: str, state: LeaseState) -> bool:
    """Delete a lease if it is still as it was read, and what older versions there are of it.

    :param account: whose bucket it is in.
    :param bucket: its name.
    :param state: the lease.
    :returns: whether it is gone, or was; not so if somebody wrote it again.
    :raises IsolatedEmrError: AWS refused it, or did not answer.
    """
    s3 = account.client("s3")
    if state.version in ("", "null"):
        return _remove_current(account, s3, bucket, state)
    # Without the older ones no marker is needed to hide them. So whatever gets lost on the way, it can be done again.
    _remove_versions(s3, bucket, state.key, lambda version: not version["IsLatest"])
    with aws_errors(f"deleting the lease s3://{bucket}/{state.key} (s3:DeleteObjectVersion)"):
        # Nobody else's: a lease that was written again is another version.
        s3.delete_object(Bucket=bucket, Key=state.key, VersionId=state.version)
    return read_lease(account, bucket, state.key) is None


def _remove_current(account: Account, s3: Any, bucket: str, state: LeaseState) -> bool:
    """Delete a lease that has no version of its own, and what was there before the bucket had none any more."""
    with aws_errors(f"deleting the lease s3://{bucket}/{state.key} (s3:DeleteObject)"):
        try:
            answer = s3.delete_object(Bucket=bucket, Key=state.key, IfMatch=state.etag)
        except ClientError as error:
            if code_of(error) not in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"):
                raise
            # The first of two attempts may have done it.
            return read_lease(account, bucket, state.key) is None
    # Without versions S3 names none.
    if marker := answer.get("VersionId"):
        _remove_versions(
            s3, bucket, state.key, lambda version: not version["IsLatest"] and version["VersionId"] != marker
        )
        with aws_errors(f"deleting the marker of s3://{bucket}/{state.key} (s3:DeleteObjectVersion)"):
            # The last, as without it an older version would be a lease again.
            s3.delete_object(Bucket=bucket, Key=state.key, VersionId=marker)
    return True


def _remove_versions(s3: Any, bucket: str, key: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Delete versions and markers of a lease that are not its latest: none of these is anybody's lease."""
    with aws_errors(f"listing the versions of s3://{bucket}/{key} (s3:ListBucketVersions)"):
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key)
        versions = [
            version["VersionId"]
            for page in pages
            for kind in ("Versions", "DeleteMarkers")
            for version in page.get(kind, ())
            if version["Key"] == key and wanted(version)
        ]
    with aws_errors(f"deleting versions of s3://{bucket}/{key} (s3:DeleteObjectVersion)"):
        for version in versions:
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version)


def _whose(state: LeaseState | None) -> str:
    if state is None:
        return "gone"
    if state.body is None:
        return "damaged"
    return f"that of {state.body.owner} on {state.body.host.name} (run {state.body.run_id})"
