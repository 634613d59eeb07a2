"""A role taken for a run, renewed, and handed to the run's own processes."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import CredentialRetrievalError, EndpointConnectionError

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import account as accounts
from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.backends.emr.credentials_server import CredentialsServer
from pytest_isolated_emr.backends.emr.limited_credentials import LimitedCredentials, TemporaryCredentials
from pytest_isolated_emr.backends.emr.session_policy import session_policy
from tests.aws.conftest import REGION, Endpoint, start_endpoint  # noqa: F401

RUN = "20261123t211623-9f3c2a"
ROLE = "arn:aws:iam::123456789012:role/isolated-emr-tests"
POLICY = session_policy(partition="aws", account_id="123456789012", bucket="b", prefix="p", run_id=RUN)
AT_ONCE = timedelta(hours=2)


@pytest.fixture
def aws(start_endpoint, monkeypatch) -> Endpoint:  # noqa: F811
    """An AWS of the test's own, which it may end; the user's credentials are its key."""
    endpoint = start_endpoint()
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY_ID": endpoint.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": endpoint.credentials.secret_access_key,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(accounts, "_ATTEMPTS", 1)
    return endpoint


@pytest.fixture
def account(aws) -> Account:
    return Account.connect(REGION)


def client_with(credentials: TemporaryCredentials, service: str, aws: Endpoint):
    session = boto3.Session(
        credentials.access_key_id,
        credentials.secret_access_key,
        credentials.session_token,
        REGION,
        botocore_session=botocore.session.Session(),
    )
    return session.client(service, endpoint_url=aws.url)


def no_answer(**_kwargs):
    raise EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com")


def access_denied(request, **_kwargs):
    """The answer that AWS gives, which moto does not."""
    said = "User: me is not authorized to perform: sts:AssumeRole on resource: role"
    body = f"<ErrorResponse><Error><Code>AccessDenied</Code><Message>{said}</Message></Error></ErrorResponse>"
    answer = AWSResponse(request.url, 403, {}, None)
    answer._content = body.encode()
    return answer


def let_aws(answer, account: Account) -> None:
    """Exchange the answers to AssumeRole from now on."""
    account.client("sts").meta.events.register("before-send.sts.AssumeRole", answer)


def test_the_role_is_taken_in_the_runs_name(account, aws):
    credentials = LimitedCredentials(account, ROLE, RUN, POLICY).current()
    caller = client_with(credentials, "sts", aws).get_caller_identity()
    assert caller["Arn"].endswith(f"assumed-role/isolated-emr-tests/{RUN}")
    assert timedelta(minutes=59) < credentials.left() <= timedelta(hours=1)


def test_secrets_are_not_shown(account):
    credentials = LimitedCredentials(account, ROLE, RUN, POLICY).current()
    assert credentials.secret_access_key not in repr(credentials)
    assert credentials.session_token not in repr(credentials)


def test_they_are_kept_until_a_quarter_of_an_hour_is_left(account):
    limited = LimitedCredentials(account, ROLE, RUN, POLICY)
    assert limited.current() is limited.current()
    soon = LimitedCredentials(account, ROLE, RUN, POLICY, renew_before=AT_ONCE)
    assert soon.current().access_key_id != soon.current().access_key_id


def test_threads_share_one_call(account):
    calls = []
    account.client("sts").meta.events.register("before-call.sts.AssumeRole", lambda **_: calls.append(1))
    limited = LimitedCredentials(account, ROLE, RUN, POLICY)
    with ThreadPoolExecutor(16) as pool:
        keys = {one.access_key_id for one in pool.map(lambda _: limited.current(), range(64))}
    assert (len(keys), len(calls)) == (1, 1)


def test_the_old_ones_are_used_while_aws_does_not_answer(account):
    limited = LimitedCredentials(account, ROLE, RUN, POLICY, renew_before=AT_ONCE, retry_seconds=0)
    old = limited.current()
    let_aws(no_answer, account)
    assert limited.current() == old
    assert isinstance(limited.problem, errors.AwsUnreachable)


def test_a_renewal_that_hangs_holds_up_nobody(account):
    limited = LimitedCredentials(account, ROLE, RUN, POLICY, renew_before=AT_ONCE)
    old = limited.current()
    may_go_on, renewed = threading.Event(), threading.Event()
    events = account.client("sts").meta.events

    def hang(**_kwargs):
        may_go_on.wait(60)

    events.register("before-call.sts.AssumeRole", hang)
    events.register("after-call.sts.AssumeRole", lambda **_: renewed.set())
    assert limited.current() == old
    may_go_on.set()
    assert renewed.wait(60)


def test_a_failed_renewal_is_not_repeated_at_once(account):
    limited = LimitedCredentials(account, ROLE, RUN, POLICY, renew_before=AT_ONCE, retry_seconds=3600)
    limited.current()
    let_aws(no_answer, account)
    calls = []
    account.client("sts").meta.events.register("before-call.sts.AssumeRole", lambda **_: calls.append(1))
    for _ in range(5):
        limited.current()
    assert calls == [1]


def test_no_answer_at_first_is_an_error(account):
    let_aws(no_answer, account)
    with pytest.raises(errors.AwsUnreachable, match="AWS does not answer"):
        LimitedCredentials(account, ROLE, RUN, POLICY).current()


def test_a_role_that_cannot_be_taken(account):
    let_aws(access_denied, account)
    limited = LimitedCredentials(account, ROLE, RUN, POLICY)
    with pytest.raises(errors.CredentialsUnusable, match="cannot be taken") as caught:
        limited.current()
    assert account.arn in caught.value.cure
    assert "not authorized to perform: sts:AssumeRole" in caught.value.checked


def test_a_role_that_is_taken_away_in_the_run(account):
    limited = LimitedCredentials(account, ROLE, RUN, POLICY, renew_before=AT_ONCE, retry_seconds=0)
    old = limited.current()
    let_aws(access_denied, account)
    assert limited.current() == old
    assert isinstance(limited.problem, errors.CredentialsUnusable)


# The server


class Source:
    """Credentials that a test can exchange."""

    def __init__(self, minutes: float = 60) -> None:
        self.minutes = minutes
        self.asked = 0
        self.error: errors.IsolatedEmrError | None = None

    def current(self) -> TemporaryCredentials:
        self.asked += 1
        if self.error is not None:
            raise self.error
        ends = datetime.now(timezone.utc) + timedelta(minutes=self.minutes)
        return TemporaryCredentials(f"ASIA{self.asked}", "secret", "token", ends)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def server(source):
    served = CredentialsServer(source.current, "123456789012")
    yield served
    served.close()


def get(url: str, token: str | None) -> tuple[int, dict[str, str]]:
    request = urllib.request.Request(url, headers={} if token is None else {"Authorization": token})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def place(server: CredentialsServer) -> tuple[str, str]:
    variables = server.variables()
    return (
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"],
    )


def test_the_answer_has_what_the_protocol_says(server):
    status, answer = get(*place(server))
    assert status == 200
    assert set(answer) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"}
    datetime.strptime(answer["Expiration"], "%Y-%m-%dT%H:%M:%SZ")


def test_it_listens_on_this_machine_alone(server):
    url, token = place(server)
    assert url.startswith("http://127.0.0.1:")
    assert len(token) >= 43


@pytest.mark.parametrize("token", [None, "", "wrong", "Bearer {token}", "{token}x", "ä"])
def test_the_token_is_asked_for(server, source, token):
    url, right = place(server)
    status, answer = get(url, None if token is None else token.format(token=right))
    assert (status, answer["code"]) == (403, "AccessDenied")
    assert source.asked == 0


def test_each_server_has_a_token_of_its_own(server, source):
    other = CredentialsServer(source.current, "123456789012")
    try:
        assert get(place(server)[0], place(other)[1])[0] == 403
    finally:
        other.close()


def test_there_is_nothing_else(server):
    url, token = place(server)
    assert get(url + "/more", token)[0] == 404


def test_errors_are_the_protocols(server, source):
    source.error = errors.AwsUnreachable("AWS does not answer.", checked="asked", cure="Wait.")
    status, answer = get(*place(server))
    assert (status, answer["code"]) == (503, "IE608")
    source.error = errors.CredentialsUnusable("The role cannot be taken.", checked="asked", cure="Mend it.")
    status, answer = get(*place(server))
    assert (status, answer["code"]) == (400, "IE601")
    assert "cannot be taken" in answer["message"]


def test_a_closed_server_answers_nobody(source):
    server = CredentialsServer(source.current, "123456789012")
    url, token = place(server)
    server.close()
    with pytest.raises(urllib.error.URLError):
        get(url, token)


@pytest.fixture
def as_client(server, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"):
        monkeypatch.setenv(name, "/dev/null")
    for name, value in server.variables().items():
        monkeypatch.setenv(name, value)
    return boto3.Session(region_name=REGION, botocore_session=botocore.session.Session())


def test_boto3_renews_what_ends_soon(as_client, source):
    source.minutes = 1
    credentials = as_client.get_credentials()
    first = credentials.get_frozen_credentials()
    second = credentials.get_frozen_credentials()
    assert first.access_key != second.access_key
    source.minutes = 60
    kept = credentials.get_frozen_credentials()
    assert credentials.get_frozen_credentials() == kept


def test_boto3_says_why_there_are_none(as_client, source):
    source.error = errors.CredentialsUnusable("The role cannot be taken.", checked="asked", cure="Mend it.")
    with pytest.raises(CredentialRetrievalError, match="The role cannot be taken"):
        as_client.get_credentials()
