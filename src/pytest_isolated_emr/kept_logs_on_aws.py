"""The logs of a session's clusters on AWS, which stay for a look when the run's prefix goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import aws_errors
from pytest_isolated_emr.backends.emr.clusters_of_run import named
from pytest_isolated_emr.logs_on_s3 import LogDirectory

#: So much of a cluster's logs is copied, in bytes as they are on S3.
_MOST_BYTES = 1 << 30
_MB = 1e6


class KeptLogsOnAws:
    """Where the logs of a session's clusters are after its end.

    :param run_id: the session's name.
    :param directory: the session's directory on this machine, in which ``kept`` stays.
    :param place: the run's own prefix, as ``s3://bucket/prefix/run id``, which goes with the session.
    :param retention: whose logs are kept, as the setting has it.
    :param most_bytes: so much of a cluster's logs is copied.
    """

    def __init__(
        self, run_id: str, directory: Path, place: str, retention: str, *, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._run_id = run_id
        self._place = f"{place}/"
        self._retention = retention
        self._kept = directory / "kept" / "clusters"
        self._most_bytes = most_bytes

    def words_for(self, cluster_id: str, log: LogDirectory | None) -> str:
        """Return what a failed test's report says of a log: where it will be when the report is read.

        :param cluster_id: the cluster that it is of.
        :param log: the log, or a directory of logs, while the session lives; None for those of a cluster without a LogUri.
        """
        if log is None:
            return "no log is kept: the cluster has no LogUri"
        if not self._goes(log):
            return f"the whole log: {log.uri}"
        if self._retention == "none":
            return "the whole log is not kept: retention is none, and it goes with the run's prefix; isolated_emr_log_uri names a place that stays"
        rest = log.uri.partition(f"/{cluster_id}/")[2]
        return f"the whole log: {self._kept.joinpath(cluster_id, *_safe_parts(rest))}"

    def keep(self, emr: Any, s3: Any) -> list[str]:
        """Copy the logs of all clusters of the session, as far as they go with it, and return lines for the summary.

        Logs come to S3 every 5 minutes, and when a cluster has ended: all of them are there after that.

        :param emr: a boto3 client of EMR.
        :param s3: a boto3 client of S3.
        """
        try:
            clusters = sorted(str(each["Id"]) for each in named(emr, self._run_id))
        except errors.IsolatedEmrError as error:
            return [f"not kept: logs of EMR clusters: {error.what} {error.checked}"]
        return [self._keep_cluster(cluster_id, emr, s3) for cluster_id in clusters]

    def _keep_cluster(self, cluster_id: str, emr: Any, s3: Any) -> str:
        what = f"logs of the EMR cluster {cluster_id}"
        kept = self._kept / cluster_id
        try:
            with aws_errors(f"looking at {cluster_id} (elasticmapreduce:DescribeCluster)"):
                log_uri = emr.describe_cluster(ClusterId=cluster_id)["Cluster"].get("LogUri")
            if not log_uri:
                return f"not kept: {what}: it has no LogUri"
            logs = LogDirectory(s3, log_uri).below(cluster_id)
            if not self._goes(logs):
                return f"stays: {what}: {logs.uri}"
            count, left_out = self._copy(logs, kept)
        except errors.IsolatedEmrError as error:
            return f"not all kept: {what}: {kept}: {error.what} {error.checked}"
        except OSError as error:
            # The disk may be full.
            return f"not all kept: {what}: {kept}: {error}"
        if left_out:
            return f"not all kept: {what}: {kept}: {left_out} of {count + left_out} files would be more than {self._most_bytes / _MB:.0f} MB"
        return f"kept: {what}: {kept}" if count else f"not kept: {what}: none were on S3 yet"

    def _goes(self, log: LogDirectory) -> bool:
        return f"{log.uri}/".startswith(self._place)

    def _copy(self, logs: LogDirectory, kept: Path) -> tuple[int, int]:
        """Return how many files were copied, and how many were left out."""
        copied = left_out = size = 0
        for log in logs.stored():
            size += log.size
            if size > self._most_bytes:
                size -= log.size
                left_out += 1
                continue
            target = kept.joinpath(*_safe_parts(logs.name_of(log)))
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            logs.download(log, target)
            copied += 1
        return copied, left_out


def _safe_parts(name: str) -> list[str]:
    """Return the parts of a key as names of files: nobody knows who put what there."""
    return [part for part in name.replace("\0", "").split("/") if part not in ("", ".", "..")]
