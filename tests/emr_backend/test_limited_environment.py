"""Whose credentials clients find in a run that is limited: the run's, whatever else the machine has."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_isolated_emr.aws.limited_environment import LimitedEnvironment
from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.backends.emr.credentials_server import CredentialsServer
from pytest_isolated_emr.backends.emr.limited_credentials import LimitedCredentials
from pytest_isolated_emr.environment_guard import EnvironmentGuard
from tests.aws.conftest import REGION, Endpoint, start_endpoint  # noqa: F401

RUN = "20261123t211623-9f3c2a"
ROLE = "arn:aws:iam::123456789012:role/isolated-emr-tests"
#: Of the environment with programs that use EMR, which `make test` makes.
AWS_PROGRAM = Path(__file__).parents[2] / ".venv-clients" / "bin" / "aws"

CONFIG = """\
[default]
region = us-east-2
aws_access_key_id = REAL
aws_secret_access_key = real
[profile role]
role_arn = arn:aws:iam::999999999999:role/admin
source_profile = default
[profile environment]
role_arn = arn:aws:iam::999999999999:role/admin
credential_source = Environment
[profile process]
credential_process = /bin/echo {"Version": 1, "AccessKeyId": "REAL", "SecretAccessKey": "real"}
[profile "single sign on"]
sso_session = corp
sso_account_id = 999999999999
sso_role_name = admin
[sso-session corp]
sso_start_url = https://example.com
sso_region = us-east-1
"""
KEYS = "aws_access_key_id = REAL\naws_secret_access_key = real\n"
PROFILES = ("default", "role", "environment", "process", "single sign on", "only-keys")


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The variables of a user who has credentials wherever a client may look for them."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "config").write_text(CONFIG)
    (home / ".aws" / "credentials").write_text(f"[default]\n{KEYS}[only-keys]\n{KEYS}")
    (home / ".boto").write_text(f"[Credentials]\n{KEYS}")
    (home / "old").write_text("AWSAccessKeyId=REAL\nAWSSecretKey=real\n")
    (home / "token").write_text("real")
    names = ("PATH", "PYTHONPATH", "LANG")
    return {name: os.environ[name] for name in names if name in os.environ} | {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "REAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_SECURITY_TOKEN": "real",
        "AWS_CREDENTIAL_EXPIRATION": "2099-01-01T00:00:00Z",
        "AWS_CREDENTIAL_FILE": str(home / "old"),
        "AWS_ROLE_ARN": "arn:aws:iam::999999999999:role/admin",
        "AWS_ROLE_SESSION_NAME": "real",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"),
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/real",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(home / "token"),
        "AWS_BEARER_TOKEN_BEDROCK": "real",
        "AWS_SOMETHING_OF_NEXT_YEAR": "real",
        "BOTO_CONFIG": str(home / ".boto"),
    }


@pytest.fixture
def aws(start_endpoint) -> Iterator[tuple[Endpoint, Account]]:  # noqa: F811
    endpoint = start_endpoint()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint.url)
        patch.setenv("AWS_ACCESS_KEY_ID", endpoint.credentials.access_key_id)
        patch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.credentials.secret_access_key)
        yield endpoint, Account.connect(REGION)


@pytest.fixture
def environ(aws, machine, tmp_path) -> Iterator[dict[str, str]]:
    """All variables of a run's process; AWS's endpoint is the one of the test."""
    endpoint, account = aws
    machine |= {"AWS_ENDPOINT_URL": endpoint.url}
    # Each request gets others, and each client has to ask again.
    limited = LimitedCredentials(account, ROLE, RUN, "{}", renew_before=timedelta(hours=2))
    server = CredentialsServer(limited.current, account.id)
    yield seen(machine, server.variables(), tmp_path)
    server.close()


def seen(machine: dict[str, str], container: dict[str, str], directory: Path) -> dict[str, str]:
    environment = LimitedEnvironment(container, REGION, directory / "aws", machine)
    left = {name: value for name, value in machine.items() if not environment.drops(name)}
    return left | environment.variables()


def run(environ: dict[str, str], script: str) -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()


WHO = "print(session.client('sts').get_caller_identity()['Arn'], session.region_name)\n"
LIMITED = [f"arn:aws:sts::123456789012:assumed-role/isolated-emr-tests/{RUN}", REGION]


def test_a_plain_client(environ):
    assert run(environ, f"import boto3\nsession = boto3.Session()\n{WHO}") == LIMITED


@pytest.mark.parametrize("profile", PROFILES)
def test_the_users_profiles_stand_for_the_run(environ, profile):
    by_variable = run(environ | {"AWS_PROFILE": profile}, f"import boto3\nsession = boto3.Session()\n{WHO}")
    assert by_variable == LIMITED
    by_name = f"import boto3\nsession = boto3.Session(profile_name={profile!r})\n{WHO}"
    assert run(environ, by_name) == LIMITED


def test_a_chosen_profile_stays_chosen(aws, machine, tmp_path):
    variables = seen(machine | {"AWS_PROFILE": "not-in-any-file"}, {}, tmp_path)
    assert variables["AWS_PROFILE"] == "not-in-any-file"
    assert "[profile not-in-any-file]" in Path(variables["AWS_CONFIG_FILE"]).read_text()


@pytest.mark.parametrize("arguments", [(), ("--profile", "role"), ("--profile", "only-keys")])
def test_the_command_line(environ, arguments):
    finished = subprocess.run(
        [AWS_PROGRAM, *arguments, "sts", "get-caller-identity", "--query", "Arn", "--output", "text"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.stdout.split() == LIMITED[:1], finished.stderr


def test_they_are_renewed(environ):
    script = """
import boto3
import datetime
credentials = boto3.Session().get_credentials()
first = credentials.get_frozen_credentials()
# As if most of their hour was over.
credentials._time_fetcher = lambda: datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=55)
print(first.access_key == credentials.get_frozen_credentials().access_key)
"""
    assert run(environ, script) == ["False"]


def test_nothing_of_the_users_secrets_is_left(environ):
    assert [name for name, value in environ.items() if value in ("REAL", "real", "/real")] == []
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        path = Path(environ[name])
        assert "REAL" not in path.read_text()
        assert "arn:" not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "name",
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_RETRY_MODE", "PATH", "HTTPS_PROXY"],
)
def test_how_aws_is_reached_stays(name):
    assert not LimitedEnvironment.drops(name)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_ENDPOINT_URLS",
        "AWS_SDK_LOAD_CONFIG",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_VAULT",
        "BOTO_CONFIG",
    ],
)
def test_what_may_lead_to_credentials_is_dropped(name):
    assert LimitedEnvironment.drops(name)


def test_a_proxy_does_not_come_between(machine, tmp_path):
    variables = seen(machine | {"NO_PROXY": "corp.example"}, {}, tmp_path)
    assert variables["NO_PROXY"] == "corp.example,127.0.0.1,localhost,::1"
    assert variables["no_proxy"] == variables["NO_PROXY"]


def test_all_is_put_back(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("BOTO_CONFIG", "mine")
    before = dict(os.environ)
    environment = LimitedEnvironment({}, REGION, tmp_path / "aws", machine)
    guard = EnvironmentGuard(environment.drops, environment.variables())
    guard.apply()
    assert "AWS_SESSION_TOKEN" not in os.environ
    guard.restore()
    assert dict(os.environ) == before
