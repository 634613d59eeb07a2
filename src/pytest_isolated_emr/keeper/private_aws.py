"""A session's private AWS: its credentials, the endpoint that takes no others, and what the endpoint's clusters run."""

from __future__ import annotations

import asyncio
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.aws.credentials import SessionCredentials
from pytest_isolated_emr.aws.endpoint_process import EndpointProcess
from pytest_isolated_emr.backends.base import BackendContext, CommandBackend, VisibleFiles
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.keeper.clusters import ClusterService
from pytest_isolated_emr.keeper.messages import Message

_DIRECTORIES = ("endpoint", "aws", "clusters")


class PrivateAws:
    """The AWS of a session whose backend brings none.

    :param backend: runs the commands of its clusters.
    :param context: the session.
    :param buckets: made and filled before the first request is answered: ``name`` and ``directory`` of each.
    """

    def __init__(
        self, backend: CommandBackend, context: BackendContext, buckets: list[dict[str, Any]]
    ) -> None:
        self._backend = backend
        self._context = context
        self._buckets = buckets
        self._bucket = f"isolated-emr-{context.run_id}"
        self._credentials = SessionCredentials.new(context.region)
        self._clusters = ClusterService(backend)
        self._endpoint: EndpointProcess | None = None

    async def open(self) -> None:
        """Start the endpoint.

        :raises IsolatedEmrError: it cannot be had.
        """
        context = self._context
        for name in _DIRECTORIES:
            context.make_directory(name)
        address = await self._backend.open()
        self._endpoint = self._make_endpoint(address)
        self._backend.use_endpoint(self._endpoint.url, self._endpoint.url_by_address)
        await self._endpoint.start(
            journal=context.journal,
            session_directory=context.directory,
            buckets=[{"name": self._bucket, "directory": None}, *self._buckets],
            variables=context.variables,
        )

    def _make_endpoint(self, address: str | None) -> EndpointProcess:
        log = self._context.directory / "logs" / "endpoint.log"
        try:
            return EndpointProcess(self._credentials, log, address)
        except OSError as error:
            raise errors.EndpointDied(
                "The private AWS endpoint cannot listen.",
                checked=f"a port of 127.0.0.1 and of {address or 'no other address'}: {error}",
                cure="An address that is not this machine's is one inside a rootless or remote engine: use an engine "
                "that runs as root, or Docker Desktop.",
            ) from error

    def describe(self) -> Message:
        """Return what a client needs to use it."""
        assert self._endpoint is not None
        return {
            "endpoint_url": self._endpoint.url,
            "bucket": self._bucket,
            "prefix": "",
            "access_key_id": self._credentials.access_key_id,
            "secret_access_key": self._credentials.secret_access_key,
            "region": self._credentials.region,
        }

    async def ready(self) -> None:
        """Wait until requests are answered.

        :raises EndpointDied: the endpoint ended instead, then or later.
        """
        assert self._endpoint is not None
        await self._endpoint.ready()

    async def answers(self) -> bool:
        """Tell whether the endpoint answers now."""
        assert self._endpoint is not None
        return await self._endpoint.answers()

    async def make_buckets(self, buckets: list[dict[str, Any]]) -> None:
        """Make more buckets than those that it was opened with.

        :param buckets: ``name`` and ``directory`` of each.
        """
        assert self._endpoint is not None
        if buckets:
            await self._endpoint.make_buckets(buckets)

    async def answer(self, request: Message, _worker: str) -> Message | None:
        """Take the Spark for clusters from the owner, or empty a prefix for a worker; None if it is something else."""
        match request["op"]:
            case "offer_spark":
                files = VisibleFiles.from_message(request["files"])
                self._clusters.offer_spark(ClusterSpark.from_message(request["spark"]), files)
            case "empty_prefix":
                assert self._endpoint is not None
                await self._endpoint.empty_prefix(request["bucket"], request["prefix"])
            case _:
                return None
        return {}

    async def serve_endpoint(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what the endpoint asks for its clusters, until its end."""
        await self._clusters.serve(reader, writer)

    def notes(self) -> list[str]:
        """Return nothing: there is nothing to say of it at the end."""
        return []

    async def close(self) -> list[str]:
        """End the endpoint, and return what could not be ended."""
        return [] if self._endpoint is None else await self._endpoint.end()
