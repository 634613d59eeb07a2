"""A run's own prefix in the scratch's bucket: its places, and its end with all versions and unfinished uploads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account, aws_errors
from pytest_isolated_emr.lifecycle.run_id import is_run_id

#: The name of the run's lease below its prefix.
LEASE_NAME = "lease.json"

#: So many objects a DeleteObjects takes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_BATCH = 1000
# What is written while a pass runs gets another pass; a cluster that has ended writes nothing more.
_PASSES = 5
# So many of the problems of one kind are told by their keys.
_TOLD = 3
#: What the XML of a DeleteObjects cannot carry, or not unchanged: https://www.w3.org/TR/xml/#charsets
_NOT_IN_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class RunPrefix:
    """What is below ``s3://bucket/prefix/run id/``, and nothing else.

    :param account: whose bucket it is.
    :param bucket: its name.
    :param prefix: of the scratch, without slashes at its ends.
    :param run_id: the session's.
    :raises ValueError: the prefix is empty or none, or the run id is none. An empty one would be the bucket's root.
    """

    def __init__(self, account: Account, bucket: str, prefix: str, run_id: str) -> None:
        check_prefix(bucket, prefix)
        if not is_run_id(run_id):
            raise ValueError(f"not a run id: {run_id!r}")
        self._account = account
        self.bucket = bucket
        self._root = f"{prefix}/{run_id}/"

    @property
    def uri(self) -> str:
        """Where it is, as ``s3://bucket/prefix/run id``."""
        return f"s3://{self.bucket}/{self._root.removesuffix('/')}"

    @property
    def lease_key(self) -> str:
        """The key of the run's lease."""
        return self.key(LEASE_NAME)

    def key(self, *parts: str) -> str:
        """Return the key of something below the prefix.

        :param parts: its names, from the run's prefix on.
        """
        return self._root + "/".join(parts)

    def empty(self, progress: Callable[[str], None] | None = None) -> list[str]:
        """Delete all that is there: versions, delete markers and unfinished uploads; the lease as the last.

        It may be called again. While anything else could not be deleted the lease stays, since it is what says whose
        the rest is and since when nobody wants it.

        :param progress: is told how many objects are gone so far.
        :returns: what could not be deleted, and why.
        """
        deletion = _Deletion(self._account, self.bucket, self._root, self.lease_key, progress)
        try:
            return deletion.run()
        except errors.IsolatedEmrError as error:
            return [f"{self.uri} could not be emptied: {error.what} {error.checked}"]


def check_prefix(bucket: str, prefix: str) -> None:
    """Check the place of a scratch.

    :param bucket: its bucket.
    :param prefix: of the scratch in the bucket, without slashes at its ends.
    :raises ValueError: one of them is empty, or the prefix has empty parts, ``.`` or ``..``, which programs fold.
    """
    if not bucket or "/" in bucket:
        raise ValueError(f"not a bucket: {bucket!r}")
    if not prefix or any(part in ("", ".", "..") for part in prefix.split("/")):
        raise ValueError(f"not the prefix of a scratch: {prefix!r}")


class _Deletion:
    def __init__(
        self,
        account: Account,
        bucket: str,
        root: str,
        lease_key: str,
        progress: Callable[[str], None] | None,
    ) -> None:
        self._s3 = account.client("s3")
        self._bucket = bucket
        self._root = root
        self._lease_key = lease_key
        self._progress = progress
        self._gone = 0
        self._problems: dict[tuple[str, str], str] = {}

    def run(self) -> list[str]:
        for _ in range(_PASSES):
            self._problems.clear()
            found = self._abort_uploads() + self._delete(lambda key: key != self._lease_key)
            if self._problems:
                return self._told()
            if not found:
                self._delete(lambda key: key == self._lease_key)
                return self._told()
        return [f"s3://{self._bucket}/{self._root}: more is written there while it is emptied"]

    def _abort_uploads(self) -> int:
        found = 0
        where = f"s3://{self._bucket}/{self._root}"
        with aws_errors(f"listing unfinished uploads below {where} (s3:ListBucketMultipartUploads)"):
            pages = self._s3.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._root
            )
            for page in pages:
                for upload in page.get("Uploads", ()):
                    key, upload_id = upload["Key"], upload["UploadId"]
                    found += 1
                    self._check(key)
                    try:
                        self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
                    except self._s3.exceptions.NoSuchUpload:
                        # Somebody completed it or aborted it meanwhile.
                        continue
                    except self._s3.exceptions.ClientError as error:
                        self._note(key, f"upload {upload_id}", error.response["Error"])
        return found

    def _delete(self, wanted: Callable[[str], bool]) -> int:
        found = 0
        where = f"s3://{self._bucket}/{self._root}"
        with aws_errors(f"listing all versions below {where} (s3:ListBucketVersions)"):
            pages = self._s3.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=self._root, PaginationConfig={"PageSize": _BATCH}
            )
            for page in _one_behind(pages):
                versions = [
                    {"Key": version["Key"], "VersionId": version["VersionId"]}
                    for kind in ("Versions", "DeleteMarkers")
                    for version in page.get(kind, ())
                    if wanted(version["Key"])
                ]
                found += len(versions)
                self._delete_versions(versions)
        return found

    def _delete_versions(self, versions: Sequence[dict[str, str]]) -> None:
        for version in versions:
            self._check(version["Key"])
        apart = [version for version in versions if _NOT_IN_XML.search(version["Key"])]
        together = [version for version in versions if version not in apart] if apart else list(versions)
        where = f"s3://{self._bucket}/{self._root}"
        failed = len(self._problems)
        with aws_errors(f"deleting below {where} (s3:DeleteObject, s3:DeleteObjectVersion)"):
            if together:
                answer = self._s3.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": together, "Quiet": True}
                )
                for error in answer.get("Errors", ()):
                    self._note(error["Key"], error.get("VersionId", "null"), error)
            for version in apart:
                try:
                    self._s3.delete_object(Bucket=self._bucket, **version)
                except self._s3.exceptions.ClientError as error:
                    self._note(version["Key"], version["VersionId"], error.response["Error"])
        self._gone += len(versions) - (len(self._problems) - failed)
        if self._progress is not None and versions:
            self._progress(f"{self._gone} objects and versions deleted")

    def _check(self, key: str) -> None:
        """Make sure of a key, whatever the service answered: this is what promise 5 rests on."""
        if not key.startswith(self._root):
            raise errors.AwsRefused(
                "S3 lists a key that is not below the prefix that was asked for.",
                checked=f"{key!r} is not below s3://{self._bucket}/{self._root}",
                cure="Nothing of that page was deleted. Look at what answers in S3's place.",
            )

    def _note(self, key: str, version: str, error: Mapping[str, str]) -> None:
        self._problems[key, version] = f"{error.get('Code')}: {error.get('Message')}"

    def _told(self) -> list[str]:
        """One line for each kind of problem: there may be a thousand of one kind."""
        counted = Counter(self._problems.values())
        told = []
        for problem, count in counted.most_common():
            keys = [key for (key, _), found in self._problems.items() if found == problem][:_TOLD]
            more = f" and {count - len(keys)} more" if count > len(keys) else ""
            told.append(f"s3://{self._bucket}/: {', '.join(keys)}{more}: {problem}")
        return told


def _one_behind(pages: Any) -> Iterator[dict[str, Any]]:
    """Yield each page when the next one is fetched: a page starts behind the last of the one before, and not every
    service that speaks S3 finds that place once it is deleted."""
    last: dict[str, Any] | None = None
    for page in pages:
        if last is not None:
            yield last
        last = page
    if last is not None:
        yield last
