"""Sessions of tests over Spark Connect are kept apart, and the gate of a server in a container takes other callers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pytest_isolated_emr.spark import connect
from pytest_isolated_emr.spark.connect.tokens import new_key, new_token
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.janino import compile_jar
from pytest_isolated_emr.spark.java import Java
from tests.conftest import UNDER_ONE_SPARK

pytestmark = pytest.mark.spark

HERE = Path(__file__).parent
CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"

CLIENT = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
try:
    print("counted", spark.range(3).count())
finally:
    spark.stop()
"""


class Server:
    """A Spark Connect server."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, key: bytes) -> None:
        self.process = process
        self.directory = directory
        self.key = key

    def url(self, host: str = "127.0.0.1", *, expires_in: float = 3600) -> str:
        port = (self.directory / "port").read_text()
        token = new_token(self.key, time.time() + expires_in)
        return f"sc://{host}:{port}/;x-aws-proxy-auth={token};authorization={self.directory.name}"


@pytest.fixture(scope="module")
def jars(
    installation: SparkInstallation, java: Java, jar_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    made = connect.connect_jars(installation, java, jar_cache, progress=print)
    ours = tmp_path_factory.mktemp("server-side") / "server-side.jar"
    compile_jar([HERE / "java" / "ServerSide.java"], installation, java, [], ours)
    return [*made, ours]


@pytest.fixture
def start_server(
    installation: SparkInstallation, java: Java, jars: list[Path], tmp_path: Path
) -> Iterator[Callable[..., Server]]:
    """Start a server with some variables, and wait until it listens."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**variables: str) -> Server:
        directory = tmp_path / f"server-{len(started)}"
        directory.mkdir()
        key = new_key()
        (directory / "key").write_bytes(key)
        settings = {
            **connect.CONTAINER_SETTINGS,
            "spark.connect.grpc.binding.port": "0",
            "spark.jars": ",".join(map(str, jars)),
            "spark.master": "local[2]",
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": "700m",
            "spark.sql.shuffle.partitions": "1",
            "spark.local.dir": str(directory / "local"),
        }
        command = [str(installation.home / "bin" / "spark-submit")]
        for name, value in settings.items():
            command += ["--conf", f"{name}={value}"]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--class", CLASS, "spark-internal"],
                cwd=directory,
                env={
                    **os.environ,
                    "SPARK_HOME": str(installation.home),
                    "JAVA_HOME": str(java.home),
                    "PYSPARK_PYTHON": sys.executable,
                    connect.DIRECTORY_VARIABLE: str(directory),
                    **variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        deadline = time.monotonic() + 180
        while not (directory / "port").exists():
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.05)
        return Server(process, directory, key)

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("suite", "count"), [("test_connect_isolation.py", 19), ("test_connect_server_ends.py", 1)]
)
def test_sessions_of_tests_are_kept_apart(start_server, project, run_pytest, suite, count):
    server = start_server()
    shutil.copy(HERE / "suites" / suite, project)
    variables = {"SPARK_REMOTE": server.url(), "SERVER_PID": str(server.process.pid)}
    # That it ends is a part of the test: a Connect session that is left can hang Python's exit.
    run_pytest("-p", "no:spark", SCRATCH=str(project.parent / "checkpoint"), **variables).assert_passed(count)


def test_a_caller_of_another_machine_is_refused(start_server):
    client = called(start_server().url(address_of_this_machine()))
    assert client.returncode != 0
    assert "the call is not of this machine" in client.stderr


@UNDER_ONE_SPARK
def test_in_a_container_a_token_is_all_that_a_caller_needs(start_server):
    server = start_server(**{connect.PEERS_VARIABLE: "any"})
    host = address_of_this_machine()
    assert called(server.url(host)).stdout == "counted 3\n"
    late = called(server.url(host, expires_in=-1))
    assert "the token has expired" in late.stderr
    assert late.stdout == ""
    other = Server(server.process, server.directory, new_key())
    assert "the token is not valid" in called(other.url(host)).stderr


@UNDER_ONE_SPARK
def test_a_container_listens_where_its_network_reaches_it():
    assert connect.CONTAINER_SETTINGS["spark.connect.grpc.binding.address"] == "0.0.0.0"
    assert connect.CONTAINER_SETTINGS["spark.connect.grpc.binding.port"] == str(connect.CONTAINER_PORT)


def called(url: str) -> subprocess.CompletedProcess[str]:
    """Run a client of its own: this process's PySpark stays as it is."""
    return subprocess.run(
        [sys.executable, "-c", CLIENT, url], capture_output=True, text=True, timeout=300, check=False
    )


def address_of_this_machine() -> str:
    """Return one by which it reaches itself, but which is not loopback's."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return address.address
    raise AssertionError("this machine has no network")
