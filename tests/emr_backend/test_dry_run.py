"""``--isolated-emr-dry-run`` prints the request as it would be, asks nothing of AWS, and runs nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.lifecycle.run_id import is_run_id

DRY = (
    "--isolated-emr",
    "--isolated-emr-backend=emr",
    "--isolated-emr-scratch=s3://etl-tests/runs",
    "--isolated-emr-dry-run",
)


@pytest.fixture
def suite(pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite whose test says that it ran, and a state root that is not there yet."""
    pytester.makepyfile("def test_it():\n    raise SystemExit('a test ran')\n")
    monkeypatch.setenv("ISOLATED_EMR_HOME", str(tmp_path / "home"))
    return pytester


@pytest.fixture
def asked_of_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Whoever calls AWS, as boto3's settings lead all of them here."""
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            try:
                while True:
                    connection, address = server.accept()
                    calls.append(address)
                    connection.close()
            except OSError:
                return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        yield calls
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def dry_run(suite: pytest.Pytester, *arguments: str) -> dict[str, Any]:
    result = suite.runpytest_subprocess(*DRY, *arguments)
    assert result.ret == 0, result.stderr.str()
    request: dict[str, Any] = json.loads(result.stdout.str())
    return request


def test_it_prints_the_request_and_nothing_else(
    suite: pytest.Pytester, tmp_path: Path, asked_of_aws: list[object]
):
    request = dry_run(
        suite,
        "--isolated-emr-release=emr-7.10.0",
        "--isolated-emr-instance-count=2",
        "--isolated-emr-max-lifetime=30",
    )
    run_id = request["Name"].removeprefix("isolated-emr ")
    assert is_run_id(run_id)
    tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
    assert tags["isolated-emr-run-id"] == run_id
    assert tags["isolated-emr-place"] == f"s3://etl-tests/runs/{run_id}"
    assert request["ReleaseLabel"] == "emr-7.10.0"
    assert [group["InstanceCount"] for group in request["Instances"]["InstanceGroups"]] == [1, 1]
    timer = request["BootstrapActions"][0]["ScriptBootstrapAction"]
    assert timer["Path"] == f"s3://etl-tests/runs/{run_id}/code/lifetime.sh"
    assert timer["Args"][0] == "1800"
    assert request["AutoTerminationPolicy"] == {"IdleTimeout": 900}
    assert not (tmp_path / "home").exists()
    assert asked_of_aws == []


def test_the_hook_of_a_conftest_takes_part(suite: pytest.Pytester):
    suite.makeconftest(
        "def pytest_isolated_emr_run_job_flow(config, request):\n"
        "    request['EbsRootVolumeSize'] = 50\n"
        "    request['Name'] = config.rootpath.name\n"
        "    request['Tags'] = []\n"
    )
    request = dry_run(suite)
    assert request["EbsRootVolumeSize"] == 50
    assert request["Name"].startswith("isolated-emr ")
    assert len(request["Tags"]) == 5


def test_what_a_conftest_prints_is_not_in_the_way(suite: pytest.Pytester):
    suite.makeconftest("print('hello')\n")
    assert "ReleaseLabel" in dry_run(suite)


def test_xdist_does_not_matter(suite: pytest.Pytester):
    assert "ReleaseLabel" in dry_run(suite, "-n", "2")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("request['Color'] = 'red'", 'Unknown parameter in input: "Color"'),
        ("request['Instances'] = []", "Invalid type for parameter Instances"),
        ("del request['Name']", 'Missing required parameter in input: "Name"'),
        ("request['EbsRootVolumeSize'] = '50'", "Invalid type for parameter EbsRootVolumeSize"),
    ],
)
def test_a_request_that_boto3_does_not_take_is_a_usage_error(suite: pytest.Pytester, body: str, words: str):
    suite.makeconftest(f"def pytest_isolated_emr_run_job_flow(request):\n    {body}\n")
    result = suite.runpytest_subprocess(*DRY)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: pytest_isolated_emr_run_job_flow: boto3 does not take the request" in result.stderr.str()
    assert words in result.stderr.str()


def test_a_request_that_aws_would_not_take_is_an_error_of_ours(suite: pytest.Pytester):
    suite.makeconftest(
        "def pytest_isolated_emr_run_job_flow(request):\n"
        "    request['Tags'] += [{'Key': f'k{number}', 'Value': ''} for number in range(46)]\n"
    )
    result = suite.runpytest_subprocess(*DRY)
    assert result.ret == 75
    assert "ERROR: IE603: A cluster has at most 50 tags." in result.stderr.str()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--isolated-emr", "--isolated-emr-dry-run"), "the backend 'local' launches no cluster"),
        (
            ("--isolated-emr", "--isolated-emr-backend=docker", "--isolated-emr-dry-run"),
            "the backend 'docker' launches no cluster",
        ),
        (("--isolated-emr-dry-run",), "it needs --isolated-emr"),
        (("--no-isolated-emr", "--isolated-emr-dry-run"), "it needs --isolated-emr"),
        ((*DRY, "--isolated-emr-subnet=x"), "--isolated-emr-subnet: 'x' is not a subnet's id"),
    ],
)
def test_where_there_is_no_request_it_is_a_usage_error(
    suite: pytest.Pytester, arguments: tuple[str, ...], words: str
):
    result = suite.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()
    assert "a test ran" not in result.stdout.str()


def test_help_is_help(suite: pytest.Pytester):
    result = suite.runpytest_subprocess("--isolated-emr-dry-run", "--help")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*--isolated-emr-dry-run*"])
