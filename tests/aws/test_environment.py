"""What code under test sees of the machine's AWS settings, and what is left of that afterwards."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_isolated_emr.aws.credentials import SessionCredentials
from pytest_isolated_emr.aws.environment import AwsEnvironment, profile_names
from pytest_isolated_emr.environment_guard import EnvironmentGuard

from .conftest import REGION, Endpoint

URL = "http://127.0.0.1:4567"

CONFIG = """\
region = stray line before any section
[default]
region = us-east-2
[profile dev]
role_arn = arn:aws:iam::999999999999:role/admin
source_profile = default
endpoint_url = https://example.com
services = local
[profile "two words"]
sso_session = corp
[ profile   spaced ]
credential_process = /bin/echo leaked
[sso-session corp]
sso_start_url = https://example.com
[services local]
s3 =
  endpoint_url = https://example.com
[profile broken
[]
[dev]
[profile dev]
"""
CREDENTIALS = "[default]\naws_access_key_id = REAL\n[old-style]\naws_access_key_id = REAL\n; [commented]\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's home with AWS settings."""
    (tmp_path / "home" / ".aws").mkdir(parents=True)
    (tmp_path / "home" / ".aws" / "config").write_text(CONFIG)
    (tmp_path / "home" / ".aws" / "credentials").write_text(CREDENTIALS)
    return tmp_path / "home"


def show(directory: Path, machine: dict[str, str]) -> dict[str, str]:
    return AwsEnvironment(SessionCredentials.new(REGION), URL, directory, machine).variables()


def test_every_profile_of_the_user_is_found(home: Path) -> None:
    assert profile_names({"HOME": str(home)}) == ["default", "dev", "old-style", "spaced", "two words"]


def test_the_users_own_places_for_the_files_are_looked_at(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("[profile far]\n[near]\n")
    machine = {"HOME": str(home), "AWS_CONFIG_FILE": str(elsewhere), "AWS_PROFILE": "chosen"}
    assert profile_names(machine) == ["default", "chosen", "far", "near", "old-style"]
    machine |= {"AWS_SHARED_CREDENTIALS_FILE": str(elsewhere), "AWS_DEFAULT_PROFILE": "by-default"}
    assert profile_names(machine) == ["default", "by-default", "chosen", "far", "near"]


def test_files_that_cannot_be_read_name_no_profile(tmp_path: Path) -> None:
    (tmp_path / ".aws" / "config").mkdir(parents=True)
    (tmp_path / ".aws" / "credentials").write_bytes(b"[caf\xe9]\n\0\xff[x\n")
    names = profile_names({"HOME": str(tmp_path)})
    assert names[0] == "default"
    assert len(names) == 2
    assert profile_names({"HOME": str(tmp_path), "AWS_SHARED_CREDENTIALS_FILE": "~nobody/x"}) == ["default"]


def test_every_profile_stands_for_the_session(home: Path, tmp_path: Path, endpoint: Endpoint) -> None:
    machine = {"HOME": str(home)}
    aws = AwsEnvironment(endpoint.credentials, endpoint.url, tmp_path / "aws", machine)
    guard = EnvironmentGuard(lambda name: name.startswith("AWS_"), aws.variables())
    guard.apply()
    try:
        for profile in profile_names(machine):
            session = boto3.Session(profile_name=profile)
            found = session.get_credentials()
            assert found is not None
            assert found.access_key == endpoint.credentials.access_key_id, profile
            assert session.region_name == REGION
            assert [bucket["Name"] for bucket in session.client("s3").list_buckets()["Buckets"]]
        with pytest.raises(Exception, match="no-such"):
            boto3.Session(profile_name="no-such")
    finally:
        guard.restore()


def test_nothing_but_the_names_is_taken_over(home: Path, tmp_path: Path) -> None:
    show(tmp_path / "aws", {"HOME": str(home)})
    written = (tmp_path / "aws" / "config").read_text() + (tmp_path / "aws" / "credentials").read_text()
    settings = {line.partition("=")[0].strip() for line in written.splitlines() if "=" in line}
    assert settings == {"data_path", "region", "aws_access_key_id", "aws_secret_access_key"}
    assert "REAL" not in written


def test_the_files_are_the_owners_only(home: Path, tmp_path: Path) -> None:
    directory = tmp_path / "aws"
    directory.mkdir(mode=0o755)
    (directory / "credentials").write_text("")
    (directory / "credentials").chmod(0o644)
    variables = show(directory, {"HOME": str(home)})
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        assert Path(variables[name]).parent == directory
        assert stat.S_IMODE(Path(variables[name]).stat().st_mode) == 0o600


def test_no_file_is_written_through_a_link(home: Path, tmp_path: Path) -> None:
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "credentials").symlink_to(home / ".aws" / "credentials")
    with pytest.raises(OSError, match="credentials"):
        show(tmp_path / "aws", {"HOME": str(home)})
    assert (home / ".aws" / "credentials").read_text() == CREDENTIALS


def test_the_chosen_profile_stays_chosen(tmp_path: Path) -> None:
    variables = show(tmp_path / "aws", {"HOME": str(tmp_path), "AWS_PROFILE": "team"})
    assert variables["AWS_PROFILE"] == "team"
    assert "[profile team]" in (tmp_path / "aws" / "config").read_text()
    assert "AWS_PROFILE" not in show(tmp_path / "aws", {"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "corp.example, localhost"}, "corp.example,localhost,127.0.0.1,::1"),
        ({"no_proxy": "corp.example"}, "corp.example,127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_loopback_goes_round_proxies(tmp_path: Path, machine: dict[str, str], expected: str) -> None:
    variables = show(tmp_path / "aws", {"HOME": str(tmp_path), **machine})
    assert variables["NO_PROXY"] == variables["no_proxy"] == expected


def test_a_proxy_of_the_users_does_not_get_the_sessions_requests(
    monkeypatch: pytest.MonkeyPatch, in_session: Endpoint
) -> None:
    # Nobody listens on port 1.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert boto3.client("s3").list_buckets()["Buckets"]


# The guard

NAMES = ("AWS_A", "AWS_B", "SET_C", "OTHER_D")
changes = st.dictionaries(st.sampled_from(NAMES), st.none() | st.sampled_from(["1", "2", ""]))


def guarded() -> EnvironmentGuard:
    return EnvironmentGuard(lambda name: name.startswith("AWS_"), {"SET_C": "ours", "AWS_B": "ours"})


def change(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@given(before=changes, meanwhile=changes)
def test_what_the_guard_covers_is_exactly_as_before(
    before: dict[str, str | None], meanwhile: dict[str, str | None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.setenv(name, "")
        change(dict.fromkeys(NAMES) | before)
        covered = {name: value for name, value in os.environ.items() if name != "OTHER_D"}
        guard = guarded()
        guard.apply()
        guard.apply()
        assert {name: os.environ.get(name) for name in ("AWS_A", "AWS_B", "SET_C")} == {
            "AWS_A": None,
            "AWS_B": "ours",
            "SET_C": "ours",
        }
        change(meanwhile)
        other = os.environ.get("OTHER_D")
        guard.restore()
        guard.restore()
        assert {name: value for name, value in os.environ.items() if name != "OTHER_D"} == covered
        assert os.environ.get("OTHER_D") == other


def test_restoring_what_was_not_applied_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_A", "1")
    before = dict(os.environ)
    guarded().restore()
    assert dict(os.environ) == before


def test_boto3s_default_session_is_the_guards_business_too(monkeypatch: pytest.MonkeyPatch) -> None:
    former: Any = boto3.Session(botocore_session=botocore.session.Session(), region_name="us-west-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", former)
    guard = guarded()
    guard.apply()
    assert boto3.DEFAULT_SESSION is None
    boto3.setup_default_session(region_name="us-west-2")
    guard.restore()
    assert boto3.DEFAULT_SESSION is former


def test_boto3_is_not_imported_for_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "boto3")
    guard = guarded()
    guard.apply()
    guard.restore()
    assert "boto3" not in sys.modules


# Clients that go by the environment


def test_clients_find_the_session_without_being_told(in_session: Endpoint) -> None:
    import awswrangler
    import pandas
    import polars
    import pyarrow.parquet
    import s3fs

    frame = pandas.DataFrame({"a": [1, 2, 3]})
    frame.to_parquet("s3://here/frame.parquet")
    assert pyarrow.parquet.read_table("s3://here/frame.parquet")["a"].to_pylist() == [1, 2, 3]
    assert polars.read_parquet("s3://here/frame.parquet")["a"].to_list() == [1, 2, 3]
    keys = [f"here/{key}" for key in in_session.keys("here")]
    assert s3fs.S3FileSystem(skip_instance_cache=True).find("here") == keys
    assert awswrangler.s3.list_objects("s3://here/") == [f"s3://{key}" for key in keys]
