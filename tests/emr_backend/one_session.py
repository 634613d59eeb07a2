"""One session on the emr backend as pytest's process drives it, without pytest: ``python -m tests.emr_backend.one_session``.

Its standard input has the order as a line of JSON, and another line for each pause that the order asks for. What the user
is told goes to the standard output, a line of JSON each.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import boto3
from botocore.config import Config

from pytest_isolated_emr import errors
from pytest_isolated_emr.backend_options import backend_options
from pytest_isolated_emr.backends.emr import tags
from pytest_isolated_emr.backends.emr.launch import launch
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.backends.emr.request import cluster_request
from pytest_isolated_emr.backends.emr.terms import ClusterTerms
from pytest_isolated_emr.emr.releases import has_sessions
from pytest_isolated_emr.emr_settings import EmrSettings
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.session import Session
from pytest_isolated_emr.settings import Settings

RELEASE, RELEASE_WITH_SPARK = "emr-7.10.0", "emr-spark-8.0.0"


@dataclass(frozen=True)
class Order:
    """What the session is to do.

    :param region: where.
    :param bucket: of the scratch.
    :param prefix: of the scratch.
    :param bootstrap_action: a script that the cluster runs after its own; empty for none.
    :param work_seconds: how long tests use the cluster, once that is ready.
    :param pauses: when it waits for a line: ``asked`` for the cluster, when that is ``ready``, and when it is ``ending``.
    :param gives_up: whether it ends without waiting for the cluster.
    :param makes_cluster: whether a test makes a cluster of its own, and leaves it.
    :param spark: whether a test uses Spark on the cluster.
    :param role_arn: the role that tests are limited to, if any.
    :param subnet: the cluster's, if any.
    :param security_group: the cluster's; empty for EMR's own.
    :param key_name: the cluster's key pair, if any.
    """

    region: str
    bucket: str
    prefix: str
    bootstrap_action: str = ""
    work_seconds: float = 0.3
    pauses: tuple[str, ...] = ()
    gives_up: bool = False
    makes_cluster: bool = False
    spark: bool = False
    role_arn: str | None = None
    subnet: str | None = None
    security_group: str = ""
    key_name: str | None = None

    @property
    def release(self) -> str:
        """The cluster's."""
        return RELEASE_WITH_SPARK if self.spark else RELEASE

    def to_line(self) -> str:
        """Return it as the process reads it."""
        return json.dumps(asdict(self)) + "\n"


def main() -> None:
    """Do what the first line of the standard input says."""
    order = Order(**json.loads(sys.stdin.readline()))
    settings = Settings(
        backend="emr",
        region=order.region,
        release=order.release,
        emr=EmrSettings(
            order.bucket,
            order.prefix,
            role_arn=order.role_arn,
            subnet=order.subnet,
            security_groups={"AdditionalMasterSecurityGroups": order.security_group}
            if order.security_group
            else {},
            key_name=order.key_name,
            bootstrap_actions=(_action(order.bootstrap_action),) if order.bootstrap_action else (),
        ),
    )
    keeper = Session.launch_keeper(settings)
    with _telling("open") as is_open:
        session = Session.start(
            settings, sys.argv, keeper, backend_options(settings, "4.0.0"), claim=None, progress=print
        )
        _say("opened", run_id=session.run_id)
        is_open.append(True)
    if not is_open:
        return
    with _telling("work"):
        _use_clusters(session, settings, order)
    _say("ending")
    _pause(order, "ending")
    with _telling("close"):
        _close(session.client)
    session.client.close()
    _say("closed")


def _use_clusters(session: Session, settings: Settings, order: Order) -> None:
    assert settings.emr is not None
    client = session.client
    request = cluster_request(settings.emr, order.release, has_sessions(order.release))
    client.request("start_cluster", request=request)
    if order.makes_cluster:
        _make_cluster(session, request)
    _say("asked")
    _pause(order, "asked")
    if order.gives_up:
        _say("worked")
        return
    while client.request("waits_for")["waits_for"]:
        continue
    _say("ready", cluster_id=client.request("cluster_id")["cluster_id"])
    _pause(order, "ready")
    if order.spark:
        _use_spark(client)
    end = time.monotonic() + order.work_seconds
    while time.monotonic() < end:
        client.request("cluster_id")
        time.sleep(0.05)
    _say("worked")


def _use_spark(client: KeeperClient) -> None:
    """Be tests that use Spark: have it started, find out where it is, look after it, and end it."""
    client.request("start_spark", properties={})
    while "waits_for" in client.request("spark_gateway"):
        continue
    status = client.request("spark_status")
    if not status["alive"] or status["note"]:
        _say("note", what=f"{status['exit']}{status['note']}")
    for problem in client.request("end_spark")["problems"]:
        _say("problem", what=problem)


def _make_cluster(session: Session, asked: dict[str, Any]) -> None:
    """Be a test that makes a cluster, and does not end it."""
    name = tags.name_of(session.run_id, "main-1")
    while (answer := session.client.request("intend_cluster", name=name))["waits_for"]:
        continue
    request = ClusterTerms.from_message(session.run_id, answer["session_cluster"]).request(asked, "main-1")
    once = boto3.client("emr", region_name=session.region, config=Config(retries={"total_max_attempts": 1}))
    launch(once, request, Pace.of_environment())


def _close(client: KeeperClient) -> None:
    while "problems" not in (reply := client.request("close")):
        continue
    for problem in reply["problems"]:
        _say("problem", what=problem)
    for note in reply.get("notes", ()):
        _say("note", what=note)


def _pause(order: Order, moment: str) -> None:
    if moment in order.pauses:
        sys.stdin.readline()


@contextmanager
def _telling(during: str) -> Iterator[list[bool]]:
    try:
        yield []
    except errors.IsolatedEmrError as error:
        _say("error", during=during, **error.to_message())


def _action(script: str) -> dict[str, Any]:
    return {"Name": "of the user's", "ScriptBootstrapAction": {"Path": script, "Args": []}}


def _say(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


if __name__ == "__main__":
    main()
