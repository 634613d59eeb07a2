"""The ``emr`` backend: Spark runs on a fresh small EMR cluster, one Spark Connect session for each worker."""

from __future__ import annotations

import asyncio
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import PATIENCE, BackendContext, SparkRequest
from pytest_isolated_emr.backends.emr.aws_of_run import AwsOfRun, session_ends
from pytest_isolated_emr.backends.emr.connect_session import ConnectSession
from pytest_isolated_emr.backends.emr.options import EmrOptions
from pytest_isolated_emr.backends.emr.pace import Pace, Stopped


class EmrBackend:
    """Starts Spark Connect sessions on the session's cluster.

    :param context: the session.
    """

    def __init__(self, context: BackendContext) -> None:
        self._context = context
        self._options = EmrOptions.from_message(context.options)
        self._pace = Pace.of_environment()
        self.aws = AwsOfRun(context, self._options, self._pace)
        self._starting: dict[str, asyncio.Task[ConnectSession]] = {}

    async def waits_for(self) -> str:
        """Return what the cluster waits for."""
        return await self.aws.waits_for()

    async def start_spark(self, worker: str, request: SparkRequest) -> None:
        """Begin to start a Spark Connect session for a worker, once the cluster is there."""
        await self.end_worker(worker)
        task = asyncio.create_task(self._start(worker, request.properties))
        self._starting[worker] = task
        # Nobody may ever ask for it; then its failure is nobody's either.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _start(self, worker: str, properties: dict[str, str]) -> ConnectSession:
        cluster_id = await self.aws.cluster_id()
        session = ConnectSession(
            self.aws.account,
            cluster_id,
            f"{self._context.run_id} {worker}",
            self._options.idle_minutes,
            self._pace,
        )
        await asyncio.to_thread(session.start, properties, self.aws.stop)
        return session

    async def check(self, worker: str) -> None:
        """Know nothing of a session before it answers."""

    async def spark_gateway(self, worker: str) -> dict[str, Any]:
        """Return the ``url`` of the worker's session, and when the token in it ``expires``; until it answers ``waits_for``,
        to be asked again. It may be asked again for a token that lasts longer, too.
        """
        self.aws.check()
        if worker not in self._starting:
            raise errors.BadRequest(
                f"No Spark was started for {worker}.",
                checked="what the session started",
                cure="Report this: the plugin asks for a start before it asks for the gateway.",
            )
        starting = self._starting[worker]
        await asyncio.wait([starting], timeout=PATIENCE)
        if not starting.done():
            return {"waits_for": "Spark's session on the cluster"}
        try:
            session = starting.result()
        except (Stopped, asyncio.CancelledError):
            # What cut it off is what there is to say.
            self.aws.check()
            raise session_ends() from None
        return await asyncio.to_thread(session.access)

    async def spark_status(self, worker: str) -> dict[str, Any]:
        """Tell whether the worker's session lives, or how it ended. Logs are on S3."""
        self.aws.check()
        status = {"alive": True, "exit": "", "log": "", "note": ""}
        task = self._starting.get(worker)
        if task is None:
            return {**status, "alive": False, "exit": "none was started"}
        if not task.done():
            return status
        if task.cancelled():
            return {**status, "alive": False, "exit": "it was ended while it started"}
        if (error := task.exception()) is not None:
            return {**status, "alive": False, "exit": f"its start failed: {error}"}
        try:
            ending = await asyncio.to_thread(task.result().ending)
        except errors.AwsUnreachable as error:
            # AWS's silence says nothing of Spark.
            return {**status, "note": str(error)}
        if not ending:
            return status
        # Whoever ended the cluster ended the session: then there will be no other one.
        await self.aws.check_cluster()
        return {**status, "alive": False, "exit": ending}

    async def end_worker(self, worker: str) -> list[str]:
        """End the worker's session, and return what could not be ended."""
        task = self._starting.pop(worker, None)
        if task is None:
            return []
        if not task.done():
            # Its start goes on in a thread; should it still come to be, it ends when it is idle, or with the cluster.
            task.cancel()
            return []
        if task.cancelled() or task.exception() is not None:
            return []
        try:
            await asyncio.to_thread(task.result().end)
        except errors.IsolatedEmrError as error:
            return [f"{error.what} {error.checked}"]
        return []

    async def close(self) -> list[str]:
        """Need nothing: sessions end with their cluster."""
        self.aws.stop.set()
        for task in self._starting.values():
            task.cancel()
        return []
