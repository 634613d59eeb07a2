"""What the private endpoint has the keeper do for its EMR clusters: run commands, and end them with their cluster.

The endpoint decides what runs and when; the keeper owns the processes, so that they go with the session, and with the
endpoint if that dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import ClusterRequest, CommandBackend, CommandRequest, VisibleFiles
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.keeper import messages
from pytest_isolated_emr.keeper.messages import Message


class ClusterService:
    """Serves the endpoint of one session.

    :param backend: runs the commands.
    """

    def __init__(self, backend: CommandBackend) -> None:
        self._backend = backend
        self._spark: asyncio.Future[tuple[ClusterSpark, VisibleFiles]] = (
            asyncio.get_running_loop().create_future()
        )
        self._clusters: set[str] = set()

    def offer_spark(self, spark: ClusterSpark, files: VisibleFiles) -> None:
        """Take over what the owner of the session says of its Spark; clusters wait for it.

        :param spark: the Spark, as it is on this machine.
        :param files: what clusters are to see of this machine, where they do not see all.
        """
        if not self._spark.done():
            self._spark.set_result((spark, files))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests, many at once, until the endpoint's end; then end what its clusters run."""
        pending: set[asyncio.Task[None]] = set()
        try:
            with contextlib.suppress(ConnectionError):
                while line := await reader.readline():
                    task = asyncio.create_task(self._respond(messages.decode(line), writer))
                    pending.add(task)
                    task.add_done_callback(pending.discard)
        finally:
            for cluster in list(self._clusters):
                await self._backend.end_cluster(cluster)
            for task in list(pending):
                task.cancel()

    async def _respond(self, request: Message, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the endpoint is told, and the log has all of it
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(ConnectionError):
            writer.write(messages.encode({"id": request["id"], **reply}))
            await writer.drain()

    async def _answer(self, request: Message) -> dict[str, Any]:
        match request["op"]:
            case "spark":
                spark, files = await asyncio.shield(self._spark)
                self._clusters.add(request["cluster"])
                described = await self._backend.begin_cluster(
                    ClusterRequest(request["cluster"], request["has_sessions"], spark, files)
                )
                return {"spark": described.to_message()}
            case "prepare_cluster":
                await self._backend.prepare_cluster(request["cluster"])
                return {}
            case "session_port":
                return {"port": await self._backend.session_port(request["cluster"], request["port"])}
            case "start_ahead":
                self._clusters.add(request["cluster"])
                await self._backend.start_ahead(_command(request))
                return {}
            case "end_ahead":
                await self._backend.end_ahead(request["cluster"], request["name"])
                return {}
            case "run_command":
                self._clusters.add(request["cluster"])
                try:
                    return {"returncode": await self._backend.run_command(_command(request))}
                except OSError as error:
                    # As Java words it.
                    return {"not_started": f"error={error.errno}, {error.strerror}"}
            case "signal_command":
                return {
                    "sent": await self._backend.signal_command(
                        request["cluster"], request["name"], request["number"]
                    )
                }
            case "end_command":
                return {"ended": await self._backend.end_command(request["cluster"], request["name"])}
            case "end_cluster":
                problems = await self._backend.end_cluster(request["cluster"])
                if not problems:
                    self._clusters.discard(request["cluster"])
                return {"problems": problems}
            case other:
                raise errors.BadRequest(
                    f"The keeper does not know the operation {other!r}.",
                    checked="the operations that an endpoint may ask for",
                    cure="Install one version of pytest-isolated-emr in this environment, and run again.",
                )


def _command(request: Message) -> CommandRequest:
    return CommandRequest(
        cluster=request["cluster"],
        name=request["name"],
        command=tuple(request["command"]),
        environ=request["environ"],
        cwd=Path(request["cwd"]),
        stdout=Path(request["stdout"]),
        stderr=Path(request["stderr"]),
        line=request.get("line", ""),
    )
