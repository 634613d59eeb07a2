"""Promise 4: code under test cannot reach a real AWS account by accident."""

from __future__ import annotations

import os

SUITE = """
import os
import boto3, pytest
from botocore.exceptions import ClientError
from botocore.session import Session as BotocoreSession

def test_only_the_session_is_visible(isolated_emr):
    seen = {name for name in os.environ if name.startswith("AWS_")}
    assert seen == {
        "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE",
        # For polars, which else refuses an endpoint without TLS.
        "AWS_ALLOW_HTTP",
    }
    assert os.environ["AWS_ENDPOINT_URL"] == isolated_emr.endpoint_url

@pytest.mark.parametrize("profile", ["default", "prod", "team", None])
def test_every_profile_is_the_session(profile, isolated_emr):
    session = boto3.Session(profile_name=profile) if profile else boto3.Session()
    assert session.get_credentials().access_key == os.environ["AWS_ACCESS_KEY_ID"]
    buckets = session.client("s3").list_buckets()["Buckets"]
    assert any(isolated_emr.run_id in bucket["Name"] for bucket in buckets)

def test_a_foreign_key_is_refused(isolated_emr):
    s3 = boto3.client("s3", aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x")
    with pytest.raises(ClientError) as caught:
        s3.create_bucket(Bucket="stolen")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    names = [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]
    assert "stolen" not in names

def test_every_client_goes_to_the_session():
    for service in ("s3", "sts", "emr", "dynamodb", "glue", "sqs"):
        assert boto3.client(service).meta.endpoint_url == os.environ["AWS_ENDPOINT_URL"]
"""

# A client made while the first conftest is imported.
CONFTEST = """
import os
import boto3
CLIENT = boto3.client("s3")
assert CLIENT.meta.endpoint_url.startswith("http://127.0.0.1:")
assert CLIENT.list_buckets()["Buckets"]
ENVIRON = dict(os.environ)
"""

RESTORED = """
import os
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    before = dict(os.environ)
    early_config.add_cleanup(lambda: check(before))

def check(before):
    changed = {
        name for name in before.keys() | os.environ.keys()
        if before.get(name) != os.environ.get(name) and not name.startswith("PYTEST_")
    }
    print("CHANGED:", sorted(changed))
"""


def test_the_users_account_is_out_of_sight_and_back_afterwards(project, tmp_path, run_pytest, on_machine):
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(
        "[default]\nregion = eu-west-1\n[profile team]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = prod\n"
    )
    credentials.write_text("[prod]\naws_access_key_id = AKIAREALKEY000000000\naws_secret_access_key = real\n")
    (project / "conftest.py").write_text(CONFTEST)
    (project / "restored.py").write_text(RESTORED)
    (project / "test_it.py").write_text(SUITE)
    finished = run_pytest(
        "-p",
        "restored",
        *on_machine,
        "-s",
        AWS_ACCESS_KEY_ID="AKIAREALKEY000000000",
        AWS_SECRET_ACCESS_KEY="real",
        AWS_SESSION_TOKEN="real",
        AWS_PROFILE="team",
        AWS_CONFIG_FILE=str(config),
        AWS_SHARED_CREDENTIALS_FILE=str(credentials),
        AWS_ENDPOINT_URL_S3="http://127.0.0.1:1/real",
        AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:1/",
        AWS_WEB_IDENTITY_TOKEN_FILE="/token",
        HTTP_PROXY="http://127.0.0.1:1",
        HTTPS_PROXY="http://127.0.0.1:1",
        PYTHONPATH=str(project) + os.pathsep + os.environ.get("PYTHONPATH", ""),
    )
    finished.assert_passed(7)
    assert "CHANGED: []" in finished.output, finished.output
