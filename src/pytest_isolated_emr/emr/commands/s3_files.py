"""Objects of the session's S3 as files, for programs of a cluster."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pytest_isolated_emr.spark.s3 import SCHEMES

_BLOCK = 1 << 20


def is_remote(path: str) -> bool:
    """Tell whether a path is one of S3's.

    :param path: such as ``s3://bucket/key``.
    """
    return urlsplit(path).scheme in SCHEMES


def download(url: str, directory: Path) -> Path:
    """Return an object as a file; the program ends if it cannot be had.

    Without boto3, whose import and client take as long as a small job's planning.

    :param url: such as ``s3://bucket/key``.
    :param directory: where the file is made, under the key's last part.
    """
    parts = urlsplit(url, allow_fragments=False)
    target = directory / parts.path.rpartition("/")[2]
    request = AWSRequest("GET", f"{os.environ['AWS_ENDPOINT_URL']}/{parts.netloc}{quote(parts.path)}")
    credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(credentials, "s3", os.environ["AWS_REGION"]).add_auth(request)
    # A proxy of the user's has nothing to do with this machine's own endpoint.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with (
            opener.open(urllib.request.Request(request.url, headers=dict(request.headers))) as answer,
            target.open("wb") as file,
        ):
            while block := answer.read(_BLOCK):
                file.write(block)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            sys.exit(
                f'Exception in thread "main" java.io.FileNotFoundException: No such file or directory: {url}'
            )
        sys.exit(f'Exception in thread "main" java.io.IOException: {url}: {error}')
    return target
