from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_isolated_emr.backends.emr import account as account_module
from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.environment_guard import EnvironmentGuard
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from tests.amazon import BUCKET, PREFIX, Amazon
from tests.emr_backend.runs import state_of
from tests.emr_backend.s3_endpoint import ATTEMPTS, REGION, Scratch, Server, session_variables


@pytest.fixture(scope="session")
def aws_home(tmp_path_factory: pytest.TempPathFactory, jar_cache: Path) -> Path:
    """The state root of the session whose AWS tests reach."""
    home = tmp_path_factory.mktemp("home")
    (home / "jars").mkdir()
    for jar in jar_cache.rglob("*"):
        if jar.is_file():
            linked = home / "jars" / jar.relative_to(jar_cache)
            linked.parent.mkdir(parents=True, exist_ok=True)
            os.link(jar, linked)
    home.chmod(0o700)
    return home


@pytest.fixture(scope="session")
def aws_variables(aws_home: Path) -> Iterator[dict[str, str]]:
    """How the AWS of a session of its own is reached."""
    with session_variables(aws_home) as variables:
        yield variables


@pytest.fixture
def scratch(aws_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Scratch]:
    """A bucket of the test's, whose account is reached as the keeper reaches AWS."""
    guard = EnvironmentGuard(lambda name: name.startswith("AWS_"), aws_variables)
    guard.apply()
    # botocore waits for longer before each one.
    monkeypatch.setattr(account_module, "_ATTEMPTS", ATTEMPTS)
    account = Account.connect(REGION)
    bucket = f"scratch-{new_run_id()}"
    account.client("s3").create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    yield Scratch(account, bucket)
    guard.restore()


@pytest.fixture
def server(scratch: Scratch) -> Server:
    """Between the scratch's account and S3."""
    return Server(scratch.account)


@pytest.fixture
def bystander(amazon: Amazon) -> Callable[[], None]:
    """Objects beside the runs' prefixes; call it to see that they are as they were."""
    for key in ("mine.txt", f"{PREFIX}/mine.txt", f"{PREFIX}-too/mine.txt"):
        amazon.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"mine")
    before = state_of(amazon)

    def check() -> None:
        assert state_of(amazon) == before

    return check
