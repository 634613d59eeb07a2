"""The settings that make Spark's ``s3://``, ``s3a://`` and ``s3n://`` mean the session's endpoint."""

from __future__ import annotations

from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.redirect import FILE_CONTEXT_CLASS

#: Suites written for EMR say ``s3://``, which is EMRFS there; old ones say ``s3n://``.
SCHEMES = ("s3", "s3a", "s3n")


def s3_settings(
    installation: SparkInstallation, endpoint_url: str, access_key: str, secret_key: str, region: str
) -> dict[str, str]:
    """Return the settings by which Spark's S3 is the session's endpoint.

    They leave the place of temporary files (``spark.hadoop.hadoop.tmp.dir``) to the caller. The secret key is
    among them: they belong into a file that only its owner can read.

    :param installation: the Spark that they are for.
    :param endpoint_url: the endpoint's URL, on loopback.
    :param access_key: the session's access key id.
    :param secret_key: the session's secret key.
    :param region: the session's region, which clients sign for.
    """
    s3a = {
        "endpoint": endpoint_url,
        "endpoint.region": region,
        "path.style.access": "true",
        "connection.ssl.enabled": str(endpoint_url.startswith("https:")).lower(),
        "access.key": access_key,
        "secret.key": secret_key,
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        # No request to see whether the bucket is there: the first real one says so as well.
        "bucket.probe": "0",
        # A test that rewrites what it reads means to; on EMR nothing objects either.
        "change.detection.mode": "none",
        # The endpoint is on this machine: what fails once fails again, and minutes of retries hide why.
        "attempts.maximum": "2",
        "retry.limit": "2",
        "retry.interval": "50ms",
        "retry.throttle.limit": "3",
        "retry.throttle.interval": "50ms",
        # Hadoop 3.4 and newer raise less than 15 s to it, with a warning for every file system.
        "connection.establish.timeout": "15s" if _has_sdk_2(installation) else "5000",
        "connection.timeout": "60s" if _has_sdk_2(installation) else "60000",
        # Waiting for "100 Continue" costs a round trip for every file written.
        "connection.expect.continue": "false",
    }
    if not _has_sdk_2(installation):
        # Its default deletes the directory markers above every file written; newer ones leave that out.
        s3a["directory.marker.retention"] = "keep"
    settings = {f"spark.hadoop.fs.s3a.{name}": value for name, value in s3a.items()}
    for scheme in SCHEMES:
        settings[f"spark.hadoop.fs.{scheme}.impl"] = "org.apache.hadoop.fs.s3a.S3AFileSystem"
        settings[f"spark.hadoop.fs.AbstractFileSystem.{scheme}.impl"] = FILE_CONTEXT_CLASS
    return settings


def _has_sdk_2(installation: SparkInstallation) -> bool:
    """Tell a Hadoop with the AWS SDK 2, which is 3.4 and newer."""
    return [int(part) for part in installation.hadoop_version.split(".")[:2]] >= [3, 4]
