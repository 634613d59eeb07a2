"""What code in a container can reach, see and take: looked at from inside, by a function that Spark runs there."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.backends import BACKENDS
from tests.conftest import UNDER_ONE_SPARK

ON_DOCKER = BACKENDS["docker"]

#: To be put before a suite: runs a function in the container and returns what it returns.
INSIDE = """
import json, os
from pathlib import Path
import pytest
from pyspark.sql.functions import udf

def inside(spark, function):
    def run(_number):
        try:
            return json.dumps(function())
        except OSError as error:
            return json.dumps(f"{type(error).__name__} {error.errno}")
    return json.loads(spark.range(1).select(udf(run, "string")("id")).collect()[0][0])
"""

SUITE = (
    INSIDE
    + """
def test_no_privileges(spark):
    status = dict(line.split(":", 1) for line in inside(spark, lambda: Path("/proc/self/status").read_text()).splitlines())
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Uid"].split()[0] == str(os.getuid())

@pytest.mark.parametrize("path", ["/file", "/etc/file", "/usr/file", "/opt/isolated-emr/file", "PROJECT/file"])
def test_what_cannot_be_written(spark, path):
    path = path.replace("PROJECT", os.getcwd())
    assert inside(spark, lambda: Path(path).write_text("x")) in ("OSError 30", "PermissionError 13")
    assert not Path(path).exists()

def test_what_can_be_written_is_the_users(spark, scratch, tmp_path):
    for directory in (scratch.path, tmp_path):
        path = str(directory / "file")
        assert inside(spark, lambda: Path(path).write_text("x")) == 1
        assert Path(path).read_text() == "x"
        assert Path(path).stat().st_uid == os.getuid()

def test_what_of_the_machine_is_seen(spark):
    elsewhere, project = os.environ["ELSEWHERE"], os.getcwd()
    assert Path(elsewhere).read_text() == "secret"
    assert inside(spark, lambda: Path(elsewhere).exists()) is False
    assert inside(spark, lambda: sorted(os.listdir(project))) == sorted(os.listdir(project))
    assert inside(spark, lambda: Path("/var/run/docker.sock").exists()) is False

def test_the_processes_of_the_machine_are_not_seen(spark):
    pids = inside(spark, lambda: [int(name) for name in os.listdir("/proc") if name.isdigit()])
    assert len(pids) < 50
    assert os.getpid() not in pids or os.getpid() < 50

def test_the_workers_of_ended_sessions_are_gone(spark):
    def daemons():
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
        return sum(b"pyspark.daemon" in line for line in lines)
    # Each of the tests above had a daemon, and workers of its own.
    assert inside(spark, daemons) <= 4

def test_the_environment(spark, isolated_emr):
    seen = inside(spark, lambda: dict(os.environ))
    assert "AKIAREAL" not in str(seen)
    assert seen["OF_THE_SUITE"] == "yes"
    assert seen["AWS_ACCESS_KEY_ID"] == os.environ["AWS_ACCESS_KEY_ID"]
    assert seen["AWS_ENDPOINT_URL"] != os.environ["AWS_ENDPOINT_URL"]
    assert "DOCKER_HOST" not in seen

def test_the_private_aws_answers_there(spark, isolated_emr, scratch):
    bucket = scratch.bucket
    def names():
        import boto3
        return [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]
    assert bucket in inside(spark, names)

def test_nothing_without_the_sessions_key(spark):
    def status():
        import boto3, botocore.exceptions
        try:
            boto3.client("s3", aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x").list_buckets()
        except botocore.exceptions.ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert inside(spark, status) == 403

def test_limits(spark):
    def limits():
        v2, v1 = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
        quota = Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        return [(v2 if v2.exists() else v1).read_text(), (quota[0] if quota[0].exists() else quota[1]).read_text()]
    memory, cpus = inside(spark, limits)
    assert int(memory) == 1800 * 2**20
    assert cpus.split()[0] == "150000"
"""
)


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_what_a_container_can_do(project, tmp_path, run_pytest):
    (tmp_path / "elsewhere").write_text("secret")
    (project / "test_it.py").write_text(SUITE)
    run_pytest(
        *ON_DOCKER,
        "--isolated-emr-docker-memory=1800m",
        "--isolated-emr-docker-cpus=1.5",
        ELSEWHERE=str(tmp_path / "elsewhere"),
        OF_THE_SUITE="yes",
        AWS_ACCESS_KEY_ID="AKIAREAL",
    ).assert_passed(14)


def test_no_secret_is_in_the_engines_records(project, run_pytest):
    (project / "test_it.py").write_text(
        "import docker, json, os\n"
        "def test_it(spark, isolated_emr):\n"
        "    label = f'isolated-emr.run-id={isolated_emr.run_id}'\n"
        "    (container,) = docker.from_env().containers.list(filters={'label': label})\n"
        "    told = json.dumps(container.attrs)\n"
        "    token = os.environ['SPARK_REMOTE'].partition('x-aws-proxy-auth=')[2].partition(';')[0]\n"
        "    assert len(token) > 20\n"
        "    for secret in (os.environ['AWS_SECRET_ACCESS_KEY'], os.environ['AWS_ACCESS_KEY_ID'], token):\n"
        "        assert secret not in told\n"
        "    ports = container.attrs['NetworkSettings']['Ports']\n"
        "    assert {one['HostIp'] for port in ports.values() for one in port or ()} == {'127.0.0.1'}\n"
    )
    run_pytest(*ON_DOCKER).assert_passed(1)


def test_a_call_without_the_token_is_refused(project, run_pytest):
    (project / "test_it.py").write_text(
        "import os, subprocess, sys\n"
        "CODE = '''\n"
        "import sys\n"
        "from pyspark.sql import SparkSession\n"
        "print(SparkSession.builder.remote(sys.argv[1]).getOrCreate().range(3).count())\n"
        "'''\n"
        "def run(url):\n"
        "    clean = {name: value for name, value in os.environ.items() if not name.startswith('SPARK_')}\n"
        "    return subprocess.run([sys.executable, '-c', CODE, url], env=clean, capture_output=True, text=True)\n"
        "def test_it(spark):\n"
        "    url = os.environ['SPARK_REMOTE']\n"
        "    assert run(url).stdout.strip() == '3'\n"
        "    for wrong in (url.partition('/;')[0], url.replace('auth=v2.local.', 'auth=v2.local.AAAA')):\n"
        "        refused = run(wrong)\n"
        "        assert refused.returncode != 0\n"
        "        assert 'UNAUTHENTICATED' in refused.stderr, refused.stderr\n"
    )
    run_pytest(*ON_DOCKER).assert_passed(1)


NETWORK = (
    INSIDE
    + """
import socket

def test_it(spark):
    def ask():
        with socket.create_connection((os.environ["OTHER_HOST"], 8000), timeout=3) as client:
            return client.recv(10).decode()
    assert os.environ["EXPECTED"] in inside(spark, ask)
"""
)


_NUMBERS = itertools.count()


@pytest.fixture
def other_host() -> Iterator[str]:
    """Another host, which knows this machine by one address and no way to any other network."""
    # The kernel takes a while to let go of a name.
    unique = f"{os.getpid() % 10000}{next(_NUMBERS)}"
    name, link, address = f"other{unique}", f"veth{unique}", "198.18.77.2"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    ip("netns", "add", name)
    server = None
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("address", "add", "198.18.77.1/30", "dev", link)
        ip("link", "set", link, "up")
        ip("-n", name, "address", "add", f"{address}/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        code = (
            "import socket\n"
            "server = socket.create_server(('', 8000))\n"
            "print('ready', flush=True)\n"
            "while True:\n"
            "    client, _ = server.accept()\n"
            "    client.sendall(b'reached')\n"
            "    client.close()\n"
        )
        server = subprocess.Popen(
            ["ip", "netns", "exec", name, "python3", "-c", code], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        with socket.create_connection((address, 8000), timeout=10) as client:
            assert client.recv(10) == b"reached"
        yield address
    finally:
        if server is not None:
            server.kill()
            server.wait()
        # With it its peer goes, and the way there.
        ip("link", "delete", link)
        ip("netns", "delete", name)


@pytest.mark.parametrize(
    ("network", "expected"),
    [("closed", "TimeoutError"), pytest.param("open", "reached", marks=pytest.mark.thorough)],
)
def test_other_networks(project, run_pytest, other_host, network, expected):
    (project / "test_it.py").write_text(NETWORK)
    option = f"--isolated-emr-docker-network={network}"
    run_pytest(*ON_DOCKER, option, OTHER_HOST=other_host, EXPECTED=expected).assert_passed(1)


def test_the_suites_own_testcontainers_keep_their_settings(project, run_pytest):
    (project / "test_it.py").write_text(
        "import os\n"
        "from testcontainers.core.config import testcontainers_config\n"
        "def test_it(isolated_emr):\n"
        "    assert testcontainers_config.ryuk_disabled is False\n"
        "    assert 'TESTCONTAINERS_RYUK_DISABLED' not in os.environ\n"
    )
    run_pytest(*ON_DOCKER).assert_passed(1)
