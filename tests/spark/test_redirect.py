"""Whatever endpoint and keys code under test sets, Spark's requests come to the session's endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest

from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.jars import JarSet
from pytest_isolated_emr.spark.redirect import FILE_CONTEXT_CLASS, JAR_NAME, SWITCH
from pytest_isolated_emr.spark.s3 import s3_settings

HERE = Path(__file__).parent
KEY = "KEYOFTHESESSION"
ROUND_TRIPS = ["s3a", "s3", "s3n", "conf", "run-time", "https", "virtual-host", "option", "keys"]


class Server:
    def __init__(self, url: str, record: Path) -> None:
        self.url = url
        self.record = record

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text().splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    record = tmp_path_factory.mktemp("server") / "requests"
    record.touch()
    command = [sys.executable, str(HERE / "recording_server.py"), str(record)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key="secret",
        )
        for bucket in ("the-bucket", "conf-bucket"):
            client.create_bucket(Bucket=bucket)
        yield Server(url, record)
        process.stdin.close()


def run_job(
    server: Server,
    jars: JarSet,
    installation: SparkInstallation,
    directory: Path,
    ways: Sequence[str],
    *,
    redirect: bool = True,
) -> dict[str, Any]:
    settings = {
        **s3_settings(installation, server.url, KEY, "secret", "us-east-1"),
        "spark.driver.extraClassPath": str(jars.directory / "*"),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.hadoop.hadoop.tmp.dir": str(directory / "tmp"),
    }
    conf = directory / "settings.json"
    conf.write_text(json.dumps(settings))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SPARK_"))}
    environ |= {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYSPARK_PYTHON": sys.executable,
        SWITCH: "1" if redirect else "0",
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "redirect_job.py"), str(conf), *ways],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["name"]: line["outcome"] for line in lines}


@pytest.fixture(scope="module")
def outcomes(
    server: Server, s3_set: JarSet, installation: SparkInstallation, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    return run_job(
        server, s3_set, installation, tmp_path_factory.mktemp("job"), [*ROUND_TRIPS, "multipart", "stream"]
    )


@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_what_is_written_is_read_again(outcomes: dict[str, Any], way: str):
    assert outcomes[way] == 10


def test_multipart_uploads_and_copies(outcomes: dict[str, Any], server: Server):
    assert outcomes["multipart"] == 12 << 20
    parts = [request for request in server.requests() if "partNumber=" in request["query"]]
    assert {request["path"] for request in parts} >= {"/the-bucket/multipart/one"}


def test_streams_with_a_checkpoint_on_s3(outcomes: dict[str, Any]):
    assert outcomes["stream"] == 5


def test_every_request_has_the_session_key_and_is_path_style(outcomes: dict[str, Any], server: Server):
    # The rest are the two of the test's own client, which made the buckets.
    spark = [
        request
        for request in server.requests()
        if request["method"] != "PUT" or request["path"].count("/") > 1
    ]
    assert len(spark) > 300
    assert {request["key"] for request in spark} == {KEY}
    assert {request["host"] for request in spark} == {server.url.removeprefix("http://")}
    assert {request["path"].split("/")[1] for request in spark} == {"the-bucket", "conf-bucket"}


def test_hard_coded_keys_still_sign(outcomes: dict[str, Any], server: Server):
    signed = {request["authorization"].split("/")[0] for request in server.requests()}
    assert signed == {f"AWS4-HMAC-SHA256 Credential={key}" for key in (KEY, "HARDCODED")}
    headers = {request["authorization"] for request in server.requests() if request["key"]}
    # It is added before signing, so the signature covers it.
    assert all("x-isolated-emr-key" in header for header in headers)


def test_without_the_switch_requests_go_where_they_were_sent(
    server: Server, s3_set: JarSet, installation: SparkInstallation, tmp_path: Path
):
    before = len(server.requests())
    outcomes = run_job(server, s3_set, installation, tmp_path, ["s3a", "run-time"], redirect=False)
    assert outcomes["s3a"] == 10
    assert "s3.example.invalid" in str(outcomes["run-time"]) or "UnknownHost" in str(outcomes["run-time"])
    assert {request["key"] for request in server.requests()[before:]} == {None}


def test_the_jar_has_what_the_sdk_and_hadoop_look_for(s3_set: JarSet):
    with zipfile.ZipFile(s3_set.directory / JAR_NAME) as jar:
        found = jar.namelist()
        assert FILE_CONTEXT_CLASS.replace(".", "/") + ".class" in found
        [service] = [name for name in found if not name.endswith(".class")]
        named = jar.read(service).decode().strip()
    assert named.replace(".", "/") + ".class" in found
