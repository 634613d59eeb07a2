from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config

from pytest_isolated_emr.aws.credentials import SessionCredentials
from pytest_isolated_emr.aws.endpoint_process import MEMORY_SETTINGS
from pytest_isolated_emr.aws.environment import AwsEnvironment
from pytest_isolated_emr.environment_guard import EnvironmentGuard

REGION = "eu-west-1"


@dataclass
class Endpoint:
    """A real endpoint process, started as the keeper starts it."""

    process: subprocess.Popen[bytes]
    credentials: SessionCredentials
    url: str
    answer: dict[str, Any]
    log: Path

    def client(self, service: str, key: str | None = None, token: str | None = None, **options: Any) -> Any:
        """A client of the session's, or with another key."""
        session = boto3.Session(
            aws_access_key_id=key or self.credentials.access_key_id,
            aws_secret_access_key="any",
            aws_session_token=token,
            region_name=REGION,
            # So that neither the machine's files nor another test's session say anything.
            botocore_session=botocore.session.Session(),
        )
        config = Config(retries={"total_max_attempts": 1}).merge(options.pop("config", Config()))
        return session.client(service, endpoint_url=self.url, config=config, **options)

    def keys(self, bucket: str) -> list[str]:
        listed = self.client("s3").list_objects_v2(Bucket=bucket)
        return [entry["Key"] for entry in listed.get("Contents", ())]

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Have it do what only the keeper may ask for."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait()


Start = Callable[..., Endpoint]


@pytest.fixture(scope="session")
def start_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with ExitStack() as at_end:

        def start(
            buckets: Sequence[Mapping[str, str | None]] = (),
            environ: Mapping[str, str] | None = None,
            session_directory: Path | None = None,
        ) -> Endpoint:
            credentials = SessionCredentials.new(REGION)
            log = tmp_path_factory.mktemp("endpoint") / "log"
            listener = socket.create_server(("127.0.0.1", 0), backlog=128)
            at_end.callback(listener.close)
            with log.open("wb") as stderr:
                process = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "pytest_isolated_emr.aws.endpoint",
                        "--fd",
                        str(listener.fileno()),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    pass_fds=[listener.fileno()],
                    env={**os.environ, **MEMORY_SETTINGS, **(environ or {})},
                )
            at_end.callback(process.wait)
            at_end.callback(process.kill)
            assert process.stdin is not None
            assert process.stdout is not None
            opening = {
                "access_key_id": credentials.access_key_id,
                "secret_access_key": credentials.secret_access_key,
                "region": credentials.region,
                "buckets": list(buckets),
                "session_directory": str(session_directory) if session_directory else None,
            }
            process.stdin.write(json.dumps(opening).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            return Endpoint(process, credentials, url, answer, log)

        yield start


@pytest.fixture(scope="session")
def endpoint(start_endpoint: Start) -> Endpoint:
    return start_endpoint([{"name": "here", "directory": None}])


@pytest.fixture(scope="session")
def other(start_endpoint: Start) -> Endpoint:
    """The endpoint of another session."""
    return start_endpoint([{"name": "here", "directory": None}])


@pytest.fixture
def in_session(endpoint: Endpoint, tmp_path: Path) -> Iterator[Endpoint]:
    """This process sees the session, as code under test does."""
    aws = AwsEnvironment(endpoint.credentials, endpoint.url, tmp_path / "aws")
    guard = EnvironmentGuard(lambda name: name.startswith(("AWS_", "DUCKDB_")), aws.variables())
    guard.apply()
    yield endpoint
    guard.restore()
