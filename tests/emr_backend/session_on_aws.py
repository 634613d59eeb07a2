"""A session on AWS without its keeper: what that does, done here with real calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3

from pytest_isolated_emr.aws.bucket_owner import expect_owner
from pytest_isolated_emr.backends.emr import lifetime
from pytest_isolated_emr.backends.emr.request import cluster_request
from pytest_isolated_emr.backends.emr.tags import SessionIdentity
from pytest_isolated_emr.backends.emr.terms import ClusterTerms
from pytest_isolated_emr.clusters_on_aws import ClustersOnAws
from pytest_isolated_emr.emr_settings import EmrSettings
from pytest_isolated_emr.kept_logs_on_aws import KeptLogsOnAws
from pytest_isolated_emr.tests_clusters import TestsClusters
from tests.emr_backend.s3_endpoint import REGION, Scratch

RELEASE = "emr-7.10.0"


@dataclass
class SessionOnAws:
    """What `ClustersOnAws` needs of a session, and of the client of its keeper."""

    scratch: Scratch
    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)
    worker: str = "main"
    #: The operations that the keeper was asked for, and the names of clusters that it was told of.
    asked: list[str] = field(default_factory=list)
    intended: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    #: Called with each boto3 client that is made.
    on_client: Callable[[str, Any], None] = lambda service, client: None

    def __post_init__(self) -> None:
        self.run_id = self.scratch.run_id
        self.place = f"s3://{self.scratch.bucket}/{self.scratch.prefix}/{self.run_id}"
        expiry = datetime.now(timezone.utc) + timedelta(hours=2)
        self.terms = ClusterTerms(
            SessionIdentity(self.run_id, "alice", "laptop", expiry, self.place),
            15,
            120,
            f"{self.place}/logs/",
        )
        self.scratch.put(f"{self.scratch.prefix}/{self.run_id}/{lifetime.KEY}", lifetime.script().encode())
        self.emr = boto3.client("emr", region_name=REGION)
        self.own = ""

    @property
    def client(self) -> SessionOnAws:
        return self

    def client_of(self, service: str, **options: Any) -> Any:
        client = boto3.Session(region_name=REGION).client(service, **options)
        self.on_client(service, client)
        return client

    def scratch_client(self) -> Any:
        client = self.client_of("s3")
        expect_owner(client, lambda: self.scratch.account.id)
        return client

    def asked_cluster(self) -> dict[str, Any]:
        settings = EmrSettings(self.scratch.bucket, self.scratch.prefix, **self.settings)
        return cluster_request(settings, RELEASE, has_sessions=False)

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """Answer as the keeper does."""
        self.asked.append(op)
        match op:
            case "start_cluster":
                if not self.own:
                    self.own = self.emr.run_job_flow(**self.terms.request(fields["request"]))["JobFlowId"]
                    self.made.append(self.own)
                return {}
            case "waits_for":
                state = self.describe(self.own)["Status"]["State"]
                return {"waits_for": "" if state == "WAITING" else f"the cluster is {state}"}
            case "cluster_id":
                return {"cluster_id": self.own}
            case "intend_cluster":
                self.intended.append(fields["name"])
                return {"waits_for": "", "session_cluster": self.terms.to_message()}
            case "forget_cluster":
                self.intended.remove(fields["name"])
                return {}
        raise AssertionError(op)

    def describe(self, cluster_id: str) -> dict[str, Any]:
        described: dict[str, Any] = self.emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
        return described

    def named(self) -> dict[str, str]:
        """The clusters of the run that there are, with their states."""
        pages = self.emr.get_paginator("list_clusters").paginate()
        found = [each for page in pages for each in page["Clusters"] if self.run_id in each["Name"]]
        self.made = [each["Id"] for each in found]
        return {each["Name"]: each["Status"]["State"] for each in found}

    def kept_logs(self, retention: str = "failed", **options: Any) -> KeptLogsOnAws:
        return KeptLogsOnAws(self.run_id, self.directory, self.place, retention, **options)

    def clusters(self, *, retention: str = "failed", **options: Any) -> TestsClusters:
        def wait() -> None:
            while self.request("waits_for")["waits_for"]:
                pass

        place = ClustersOnAws(
            self,  # type: ignore[arg-type]
            self.asked_cluster,
            lambda: self.request("start_cluster", request=self.asked_cluster()) and None,
            wait,
            kept_logs=self.kept_logs(retention),
            **options,
        )
        return TestsClusters(place)

    def end(self) -> None:
        self.named()
        if self.made:
            self.emr.terminate_job_flows(JobFlowIds=self.made)
