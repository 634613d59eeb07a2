"""Spark Connect sessions of the emr backend at which something goes wrong: a real backend on the local EMR, by a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.retries.standard import ExponentialBackoff

from pytest_isolated_emr import errors
from pytest_isolated_emr.backend_options import backend_options
from pytest_isolated_emr.backends.base import BackendContext, SparkRequest
from pytest_isolated_emr.backends.emr.backend import EmrBackend
from pytest_isolated_emr.backends.emr.pace import PACE_VARIABLE
from pytest_isolated_emr.backends.emr.request import cluster_request
from pytest_isolated_emr.emr_settings import EmrSettings
from pytest_isolated_emr.environment_guard import EnvironmentGuard
from pytest_isolated_emr.lifecycle.journal import Journal
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.settings import Settings
from tests.emr_backend.answers import Answer
from tests.emr_backend.aws_calls import Call
from tests.emr_backend.aws_proxy import AwsProxy
from tests.emr_backend.bystanders import make_roles
from tests.emr_backend.campaign import account_of
from tests.emr_backend.case_run import PACE
from tests.emr_backend.faults import Fault, Plan, Rule
from tests.emr_backend.s3_endpoint import REGION

RELEASE = "emr-spark-8.0.0"
IDLE_MINUTES = 7
Told = TypeVar("Told")
#: What is waited for takes its time on a machine that does much else.
QUICK = {**PACE, "lease": 900.0, "renew": 60.0, "start": 300.0, "end": 300.0, "session": 300.0}


@dataclass
class Stage:
    """A backend on AWS, a proxy between the two, and AWS past the proxy."""

    backend: EmrBackend
    run_id: str
    proxy: AwsProxy
    real: Any
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Coroutine[Any, Any, Told]) -> Told:
        """Have the backend do something, as the keeper's loop does."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(120)

    def aws(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask for something of the cluster."""
        answer = self.run(self.backend.aws.answer({"op": op, **fields}, "main"))
        assert answer is not None
        return answer

    def start(self, worker: str, **properties: str) -> None:
        """Begin to start a worker's Spark."""
        named = {name.replace("_", "."): value for name, value in properties.items()}
        self.run(self.backend.start_spark(worker, SparkRequest(named)))

    def gateway(self, worker: str) -> dict[str, Any]:
        """Return how a worker's Spark is reached, once it answers."""
        while "waits_for" in (where := self.run(self.backend.spark_gateway(worker))):
            continue
        return where

    def status(self, worker: str) -> dict[str, Any]:
        """Return how a worker's Spark is."""
        return self.run(self.backend.spark_status(worker))

    def sessions(self, worker: str) -> list[dict[str, Any]]:
        """Return the sessions that a worker ever had on the cluster."""
        cluster = self.aws("cluster_id")["cluster_id"]
        found = self.real.list_sessions(ClusterId=cluster)["Sessions"]
        return [each for each in found if each["Name"] == f"{self.run_id} {worker}"]

    def wait_for_end(self, worker: str) -> None:
        """Wait until each session of a worker has ended."""
        deadline = time.monotonic() + 60
        while [each for each in self.sessions(worker) if each["State"] != "TERMINATED"]:
            assert time.monotonic() < deadline, self.sessions(worker)
            time.sleep(0.05)

    @contextlib.contextmanager
    def faults(self, *rules: Rule) -> Iterator[None]:
        """Have calls go wrong for as long."""
        self.proxy.plan = Plan(rules)
        yield
        self.proxy.plan.heal()


class ShortToken:
    """The first token that is handed out ends in nine minutes."""

    def __init__(self) -> None:
        self._is_first = True

    def __call__(self, call: Call, answer: Answer) -> Answer:
        """Tell of its end."""
        if call.operation != "GetSessionEndpoint" or not self._is_first:
            return answer
        self._is_first = False
        return answer.with_json({**answer.json(), "AuthTokenExpirationTime": time.time() + 540})


@contextlib.contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextlib.contextmanager
def stage(variables: dict[str, str], directory: Path) -> Iterator[Stage]:
    """Open a backend whose cluster is asked for."""
    with account_of(variables) as account:
        iam = account.client("iam")
        # Another module's tests may have made them.
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            make_roles(account)
        run_id = new_run_id()
        bucket = f"scratch-{run_id}"
        account.client("s3").create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        emr = EmrSettings(bucket, "team/scratch", idle_minutes=IDLE_MINUTES)
        options = backend_options(Settings(backend="emr", region=REGION, release=RELEASE, emr=emr), "4.0.0")
        with (
            running_loop() as loop,
            AwsProxy(variables["AWS_ENDPOINT_URL"], changes=[ShortToken()]) as proxy,
            Journal.open(directory / f"journal-{run_id}") as journal,
        ):
            guard = EnvironmentGuard(
                lambda name: name.startswith("AWS_"),
                {**variables, "AWS_ENDPOINT_URL": proxy.url, PACE_VARIABLE: json.dumps(QUICK)},
            )
            guard.apply()
            try:
                context = BackendContext(directory, run_id, journal, {}, REGION, options, lambda text: None)
                it = Stage(EmrBackend(context), run_id, proxy, account.client("emr"), loop)
                it.run(it.backend.aws.open())
                it.aws("start_cluster", request=cluster_request(emr, RELEASE, has_sessions=True))
                yield it
                it.run(it.backend.close())
                assert it.run(it.backend.aws.close()) == []
            finally:
                guard.restore()


@pytest.fixture(scope="module", autouse=True)
def short_pauses() -> Iterator[None]:
    """botocore tries again almost at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0.01)
        yield


@pytest.fixture(scope="module")
def on_aws(aws_variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A backend with its cluster."""
    with stage(aws_variables, tmp_path_factory.mktemp("backend")) as it:
        yield it


@pytest.fixture(scope="module")
def spark(on_aws: Stage) -> str:
    """A worker whose Spark answers, though the answer to its StartSession got lost."""
    with on_aws.faults(Rule(Fault.DROPPED_AFTER, ("StartSession",), attempts=1)):
        on_aws.start("main")
        on_aws.gateway("main")
    return "main"


def test_a_session_whose_start_nobody_answered_is_started_once(on_aws: Stage, spark: str) -> None:
    asked = [served.call.parameters for served in on_aws.proxy.calls("StartSession")]
    asked = [each for each in asked if each["Name"].endswith(spark)]
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert len(asked[0]["ClientRequestToken"]) == 32
    assert len(on_aws.sessions(spark)) == 1


def test_a_session_ends_when_it_is_idle(on_aws: Stage, spark: str) -> None:
    [asked, _] = [
        served.call.parameters
        for served in on_aws.proxy.calls("StartSession")
        if served.call.parameters["Name"].endswith(spark)
    ]
    assert asked["SessionIdleTimeoutInMinutes"] == IDLE_MINUTES
    [session] = on_aws.sessions(spark)
    described = on_aws.real.get_session(ClusterId=session["ClusterId"], SessionId=session["Id"])["Session"]
    assert described["SessionIdleTimeoutInMinutes"] == IDLE_MINUTES


def test_a_token_near_its_end_is_exchanged(on_aws: Stage, spark: str) -> None:
    # The first one, of nine minutes, was handed out when the session was ready.
    assert len(on_aws.proxy.calls("GetSessionEndpoint")) == 1
    renewed = on_aws.gateway(spark)
    assert renewed["expires"] > time.time() + 3000
    assert on_aws.gateway(spark) == renewed
    assert len(on_aws.proxy.calls("GetSessionEndpoint")) == 2


def test_awss_silence_is_no_end_of_spark(on_aws: Stage, spark: str) -> None:
    with on_aws.faults(Rule(Fault.DROPPED_BEFORE, ("GetSession",))):
        status = on_aws.status(spark)
    assert status["alive"]
    assert "IE608" in status["note"]
    assert "elasticmapreduce:GetSession" in status["note"]
    assert on_aws.status(spark) == {"alive": True, "exit": "", "log": "", "note": ""}


def test_a_session_that_somebody_ended_and_that_cannot_be_ended(on_aws: Stage) -> None:
    # A silence while it starts is waited for.
    with on_aws.faults(Rule(Fault.ERROR_BEFORE, ("GetSession",), count=1)):
        on_aws.start("ended")
        on_aws.gateway("ended")
    [session] = on_aws.sessions("ended")
    on_aws.real.terminate_session(ClusterId=session["ClusterId"], SessionId=session["Id"])
    status = on_aws.status("ended")
    assert not status["alive"]
    assert f"session {session['Id']} is TERMINAT" in status["exit"]
    with on_aws.faults(Rule(Fault.DENIED, ("TerminateSession",))):
        [problem] = on_aws.run(on_aws.backend.end_worker("ended"))
    assert session["Id"] in problem
    assert "not authorized to perform: elasticmapreduce:TerminateSession" in problem
    assert on_aws.status("ended")["exit"] == "none was started"


def test_a_session_that_fails_says_why(on_aws: Stage) -> None:
    on_aws.start("fails", spark_driver_memory="nonsense")
    with pytest.raises(errors.ConnectSessionFailed, match=r"is FAILED: .*nonsense"):
        on_aws.gateway("fails")
    status = on_aws.status("fails")
    assert not status["alive"]
    assert "its start failed: IE612" in status["exit"]
    assert on_aws.run(on_aws.backend.end_worker("fails")) == []


def test_a_session_that_is_too_slow_is_given_up(on_aws: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_aws.backend, "_pace", replace(on_aws.backend._pace, session=0.0))
    on_aws.start("slow")
    with pytest.raises(
        errors.ConnectSessionFailed, match=r"after 0 s: session is-\w+ is (SUBMITTED|STARTING)"
    ):
        on_aws.gateway("slow")
    # The cluster's memory is for one that is used.
    assert len(on_aws.sessions("slow")) == 1
    on_aws.wait_for_end("slow")


def test_a_session_that_aws_is_silent_about_is_given_up(
    on_aws: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_aws.backend, "_pace", replace(on_aws.backend._pace, session=0.0))
    with on_aws.faults(Rule(Fault.THROTTLED, ("GetSession",))):
        on_aws.start("silent")
        with pytest.raises(errors.AwsUnreachable, match="elasticmapreduce:GetSession"):
            on_aws.gateway("silent")
    on_aws.wait_for_end("silent")


def test_a_start_that_is_refused_is_in_awss_words(on_aws: Stage) -> None:
    with on_aws.faults(Rule(Fault.DENIED, ("StartSession",))):
        on_aws.start("refused")
        with pytest.raises(
            errors.AwsRefused, match="not authorized to perform: elasticmapreduce:StartSession"
        ):
            on_aws.gateway("refused")
    assert on_aws.sessions("refused") == []


def test_the_runs_end_cuts_a_start_off(aws_variables: dict[str, str], tmp_path: Path) -> None:
    with stage(aws_variables, tmp_path) as it:
        it.start("main")
        it.run(it.backend.close())
        with pytest.raises(errors.ClusterNotReady, match="The session ends"):
            it.gateway("main")
        assert not it.status("main")["alive"]
        assert it.proxy.calls("StartSession") == []
