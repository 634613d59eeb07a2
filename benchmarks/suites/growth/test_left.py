"""A test that leaves many small things in its scratch: files on the disk, or objects on S3."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pytest_isolated_emr.lifecycle.session_directory import read_metadata

COUNT = int(os.environ["BENCH_LEFT"])
IN_A_DIRECTORY = 1000
CLIENTS = 4


@pytest.fixture(autouse=True)
def tell(isolated_emr):
    """Tell the bench whose end to wait for."""
    keeper = read_metadata(isolated_emr._session.directory).keeper
    Path("session.json").write_text(json.dumps({"run_id": isolated_emr.run_id, "keeper": keeper.pid}))


def test_files(scratch):
    for number in range(COUNT):
        directory = scratch.path / str(number // IN_A_DIRECTORY)
        if number % IN_A_DIRECTORY == 0:
            directory.mkdir()
        (directory / str(number)).write_bytes(b"x")


def test_objects(scratch, isolated_emr):
    # Of boto3, 100,000 requests take two minutes. The endpoint looks at the key id alone.
    host = urlsplit(isolated_emr.endpoint_url).netloc
    headers = {"Authorization": f"AWS {os.environ['AWS_ACCESS_KEY_ID']}:any"}

    def put(first):
        connection = HTTPConnection(host)
        for number in range(first, COUNT, CLIENTS):
            path = f"/{scratch.bucket}/{scratch.prefix}/{number // IN_A_DIRECTORY}/{number}"
            connection.request("PUT", path, b"x", headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(put, range(CLIENTS)))
