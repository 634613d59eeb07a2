"""The EMR of one account and region, in the place of moto's. Its name and those of ``urls`` are moto's convention."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from moto.emr.models import ElasticMapReduceBackend

from pytest_isolated_emr.emr.cluster_files import ClusterFiles
from pytest_isolated_emr.emr.cluster_life import ClusterLife
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.emr.clusters import Cluster
from pytest_isolated_emr.emr.errors import no_such_cluster, no_such_job_flow, no_such_step
from pytest_isolated_emr.emr.logs import LogUploads
from pytest_isolated_emr.emr.runner import Runner
from pytest_isolated_emr.emr.steps import Step
from pytest_isolated_emr.keeper.concurrent_client import ConcurrentKeeperClient

#: Held while a cluster is made: nobody sees half of one.
_making = threading.Lock()


class SessionLink:
    """The endpoint's way to its session, for all accounts and regions.

    :param directory: the session's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def keeper(self) -> ConcurrentKeeperClient:
        """The connection to the keeper."""
        return ConcurrentKeeperClient(self._directory)

    def spark(self, cluster_id: str, *, has_sessions: bool) -> ClusterSpark:
        """Wait for the description of a cluster's Spark.

        :param cluster_id: the cluster.
        :param has_sessions: whether it may have Spark Connect sessions.
        """
        reply = self.keeper.request("spark", cluster=cluster_id, has_sessions=has_sessions)
        return ClusterSpark.from_message(reply["spark"])

    def files(self, cluster_id: str) -> ClusterFiles:
        """Return the directory of a cluster.

        :param cluster_id: the cluster.
        """
        return ClusterFiles(self._directory, cluster_id)

    def runner(self, cluster_id: str, files: ClusterFiles, uploads: LogUploads) -> Runner:
        """Return what runs the commands of a cluster.

        :param cluster_id: the cluster.
        :param files: its directory.
        :param uploads: where its logs go.
        """
        return Runner(self.keeper, cluster_id, files, uploads)


class EmrBackend(ElasticMapReduceBackend):  # type: ignore[misc]
    """Clusters by their ids."""

    #: Set once, before the first request.
    session: SessionLink

    clusters: dict[str, Cluster]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        #: GetBlockPublicAccessConfiguration's answer, once there was a Put.
        self.block_public_access: dict[str, Any] | None = None

    def run(self, request: dict[str, Any]) -> Cluster:
        """Make a cluster and let it live.

        :param request: RunJobFlow's, valid.
        """
        session = self.session
        # moto shows a cluster from the first line of its making on.
        with _making:
            made = Cluster(self, request, files=session.files, runner=session.runner)
        has_sessions = bool(request.get("SessionEnabled"))
        life = ClusterLife(made, lambda: session.spark(made.id, has_sessions=has_sessions))
        threading.Thread(target=life.run, name=made.id, daemon=True).start()
        return made

    def instance_types(self) -> dict[str, Any]:
        """Return what is known of instance types, by their names."""
        types: dict[str, Any] = self._instance_types
        return types

    def all_clusters(self) -> list[Cluster]:
        """Return all clusters, the oldest first."""
        with _making:
            return list(self.clusters.values())

    def find_cluster(self, cluster_id: str) -> Cluster:
        """Return a cluster.

        :param cluster_id: its id.
        :raises InvalidRequestException: there is none.
        """
        found = self._get(cluster_id)
        if found is None:
            raise no_such_cluster(cluster_id)
        return found

    def find_job_flow(self, job_flow_id: str) -> Cluster:
        """Return a cluster for one of the operations that call it a job flow, which word their errors otherwise.

        :param job_flow_id: its id.
        :raises ValidationException: there is none.
        """
        found = self._get(job_flow_id)
        if found is None:
            raise no_such_job_flow()
        return found

    def find_step(self, cluster_id: str, step_id: str) -> Step:
        """Return a step of a cluster.

        :param cluster_id: the cluster's id.
        :param step_id: the step's.
        :raises InvalidRequestException: there is none.
        """
        found = self.find_cluster(cluster_id).find_step(step_id)
        if found is None:
            raise no_such_step(step_id)
        return found

    def _get(self, cluster_id: str) -> Cluster | None:
        with _making:
            return self.clusters.get(cluster_id)
