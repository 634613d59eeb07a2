"""The keeper: owns one session's environment from before it exists until it is gone.

It holds the session's lock, writes the journal, starts what serves AWS and Spark, and takes all of it away when the
client's end of the lifeline closes, whatever closed it. What it owns it changes on one thread; other threads only wait,
for a container engine say, and remove files at the very end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import traceback
from datetime import datetime, timezone
from pathlib import Path

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends import machine_removers, make_backend, removers
from pytest_isolated_emr.backends.base import (
    PATIENCE,
    AwsBackend,
    Backend,
    BackendContext,
    ClassDataBackend,
    SessionAws,
    SparkRequest,
)
from pytest_isolated_emr.keeper import messages, teardown
from pytest_isolated_emr.keeper.messages import ENDPOINT, Message
from pytest_isolated_emr.keeper.private_aws import PrivateAws
from pytest_isolated_emr.keeper.refusals import of_opening, of_request, with_problems
from pytest_isolated_emr.keeper.reserve import Reserve
from pytest_isolated_emr.keeper.spare_order import SpareOrder, SparkOrders
from pytest_isolated_emr.keeper.turn import Turn
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity
from pytest_isolated_emr.lifecycle.run_id import RUN_ID_VARIABLE, new_run_id
from pytest_isolated_emr.lifecycle.session_directory import (
    KEPT_NAME,
    SessionDirectory,
    SessionMetadata,
)
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import sweep

OWNER = "main"

# So long the client waits for the removal of files, where nothing else is left.
_REMOVE_SECONDS = 1.0
_STILL_REMOVED = (
    "the session's files are many, and are being removed after the end of this run "
    "(`isolated-emr sweep` says what could not be)"
)


class Keeper:
    """One session's supervisor."""

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self._has_ended_all = asyncio.Event()
        self._keep = False
        self._backend: Backend | None = None
        self._aws: SessionAws | None = None
        self._private_aws: PrivateAws | None = None
        self._adopted: list[ProcessIdentity] = []
        self._teardown: asyncio.Task[list[str]] | None = None
        self._ending = "the session's end"
        self._sparks: dict[str, Message] = {}
        self._next: SpareOrder | None = None

    async def run(self, lifeline: socket.socket) -> None:
        """Serve a session from its opening to its end.

        :param lifeline: the connection to the process that owns it.
        """
        reader, writer = await asyncio.open_connection(sock=lifeline, limit=messages.MAX_LINE)
        self._watch_owner(lifeline)
        line = await reader.readline()
        if not line:
            return
        opening = messages.decode(line)
        try:
            self._create()
        except Exception as error:  # noqa: BLE001 - the client is told, with the traceback
            writer.write(messages.encode({"id": opening["id"], "error": of_opening(error).to_message()}))
            await writer.drain()
            return
        try:
            try:
                self._write_metadata(opening)
                if not await self._admit(opening, reader, writer):
                    return
                await self._open(opening)
            except Exception as error:  # noqa: BLE001 - the same
                told = with_problems(of_opening(error), await self._take_down())
                writer.write(messages.encode({"id": opening["id"], "error": told}))
                await writer.drain()
                return
            await self._serve_until_over(opening, reader, writer)
        finally:
            await self._take_down()
            # Who waits for the end of this session sees it when the lifeline closes: last of all.
            writer.close()

    def next_spare(self) -> tuple[SpareOrder, StateRoot] | None:
        """Return what the session that is over wants to be started for the next one."""
        return (self._next, self._root) if self._next is not None else None

    async def _serve_until_over(
        self, opening: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._opening = opening
        writer.write(messages.encode({"id": opening["id"], **self._describe()}))
        serving = asyncio.create_task(self._serve_owner(reader, writer))
        sweeping = asyncio.create_task(self._sweep_others())
        await self._over.wait()
        serving.cancel()
        sweeping.cancel()

    async def _admit(
        self, opening: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Wait for this session's turn, the client is told what for; tell whether it has come, or the client has gone."""

        async def tell(text: str) -> None:
            writer.write(messages.encode({"id": opening["id"], "waits_for": text}))
            with contextlib.suppress(ConnectionError):
                await writer.drain()

        def is_over() -> bool:
            return self._over.is_set() or reader.at_eof()

        claim = opening["claim"]
        return claim is None or await self._turn.come(claim, opening["cwd"], tell, is_over)

    def _create(self) -> None:
        self._reserve = Reserve()
        root = StateRoot.from_environment()
        root.open()
        self._root = root
        run_id = new_run_id()
        self._turn = Turn(root, run_id)
        self._directory = SessionDirectory.create(root, run_id)

    def _write_metadata(self, opening: Message) -> None:
        run_id = self._directory.run_id
        self._directory.write_metadata(
            SessionMetadata.of_this_process(
                run_id,
                started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                cwd=opening["cwd"],
                command=opening["command"],
                backend=opening["backend"],
                versions=opening["versions"],
                state=opening.get("state", "session"),
            )
        )

    async def _open(self, opening: Message) -> None:
        """Create what every session has; the order is that of the journal."""
        directory = self._directory
        context = BackendContext(
            directory=directory.path,
            run_id=directory.run_id,
            journal=directory.journal,
            variables={RUN_ID_VARIABLE: directory.run_id},
            region=opening["region"],
            options=opening["backend_options"],
            say=self._say_of_end,
        )
        for name in ("logs", "scratch", "workers", "jvms"):
            context.make_directory(name)
        self._log_to(directory.path / "logs" / "keeper.log")
        backend = make_backend(opening["backend"], context)
        self._backend = backend
        if isinstance(backend, AwsBackend):
            self._aws = backend.aws
        else:
            self._aws = self._private_aws = PrivateAws(backend, context, opening["buckets"])
        await self._aws.open()
        self._listener = await asyncio.start_unix_server(
            self._serve_worker, sock=messages.bind(directory.path), limit=messages.MAX_LINE
        )

    def _describe(self) -> Message:
        assert self._aws is not None
        path = self._directory.path
        return {
            "run_id": self._directory.run_id,
            "directory": str(path),
            "keeper_log": str(path / "logs" / "keeper.log"),
            **self._aws.describe(),
        }

    def _log_to(self, log: Path) -> None:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, sys.stdout.fileno())
        os.dup2(descriptor, sys.stderr.fileno())
        os.close(descriptor)

    def _watch_owner(self, lifeline: messages.Peerable) -> None:
        """Notice the owner's death even while something that it forked holds the lifeline open."""
        peer = messages.peer(lifeline)
        if peer is None or not hasattr(os, "pidfd_open"):
            return
        try:
            owner = os.pidfd_open(peer[0])
        except ProcessLookupError:
            self._over.set()
            return
        except OSError:
            # A kernel without it, or one that forbids it: the lifeline itself has to do.
            return
        asyncio.get_running_loop().add_reader(owner, self._end_with_owner, owner)

    def _end_with_owner(self, owner: int) -> None:
        # It stays readable: the loop would turn without a pause until all is taken away.
        asyncio.get_running_loop().remove_reader(owner)
        os.close(owner)
        self._over.set()

    async def _serve_owner(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer, OWNER)
        finally:
            self._over.set()

    async def _serve_worker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not messages.is_of_this_user(writer.get_extra_info("socket")):
            writer.close()
            return
        worker = ""
        is_taken = False
        try:
            line = await reader.readline()
            if not line:
                return
            hello = messages.decode(line)
            if hello["op"] in ("claim", "end_spare"):
                is_taken = await self._answer_about_spare(hello, reader, writer)
                return
            worker = hello["worker"]
            writer.write(messages.encode({"id": hello["id"], **self._describe()}))
            if worker == ENDPOINT:
                assert self._private_aws is not None
                await self._private_aws.serve_endpoint(reader, writer)
            else:
                await self._serve(reader, writer, worker)
        finally:
            if not is_taken:
                writer.close()
            if worker and self._backend is not None and not self._over.is_set():
                # The worker has ended or died: what was its own goes now.
                await self._backend.end_worker(worker)

    async def _answer_about_spare(
        self, hello: Message, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer who takes this session for a spare; tell whether the connection is taken over."""
        # It has an owner, and is nobody else's.
        writer.write(messages.encode({"id": hello["id"], "is_claimed": False, "is_ended": False}))
        await writer.drain()
        return False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, worker: str) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                request = messages.decode(line)
                try:
                    reply = await self._answer(request, worker)
                except errors.IsolatedEmrError as error:
                    reply = {"error": error.to_message()}
                except Exception as error:  # noqa: BLE001 - the client is told, and the log has all of it
                    traceback.print_exc()
                    reply = {"error": of_request(error, self._root.path, request["op"]).to_message()}
                writer.write(messages.encode({"id": request["id"], **reply}))
                await writer.drain()

    async def _answer(self, request: Message, worker: str) -> Message:
        assert self._backend is not None
        assert self._aws is not None
        match request["op"]:
            case "ready":
                await self._aws.ready()
                await self._backend.check(worker)
                return {}
            case "waits_for":
                return {"waits_for": await self._backend.waits_for()}
            case "start_spark":
                await self._start_spark(worker, request)
                return {}
            case "spark_gateway":
                return await self._backend.spark_gateway(worker)
            case "spark_status":
                return await self._backend.spark_status(worker)
            case "end_spark":
                return {"problems": await self._backend.end_worker(worker)}
            case "adopt":
                self._adopt(request["pid"])
                return {}
            case "class_data":
                assert isinstance(self._backend, ClassDataBackend)
                return {"paths": [str(path) for path in self._backend.class_data()]}
            case "train":
                assert isinstance(self._backend, ClassDataBackend)
                await self._backend.train(worker, self._directory.path / "logs" / "training.log")
                return {}
            case "leave_spare":
                self._leave_spare(request)
                return {}
            case "keep":
                self._keep_files(worker)
                return {}
            case "close":
                return await self._close()
            case other:
                answer = await self._aws.answer(request, worker)
                if answer is not None:
                    return answer
                raise errors.BadRequest(
                    f"The keeper does not know the operation {other!r}.",
                    checked="the operations of this version",
                    cure="Install one version of pytest-isolated-emr in this environment, and run again.",
                )

    async def _start_spark(self, worker: str, request: Message) -> None:
        assert self._backend is not None
        self._note_spark(worker, request)
        await self._backend.start_spark(worker, SparkRequest.from_message(request))

    def _note_spark(self, worker: str, request: Message) -> None:
        # What a worker asks for later is of a single suite or test.
        self._sparks.setdefault(worker, request)

    def _leave_spare(self, request: Message) -> None:
        """Have the next session of a key find what this one had at its start."""
        orders = SparkOrders({**self._describe(), "basetemp": request["basetemp"]})
        opening = {
            name: self._opening[name] for name in ("backend", "backend_options", "region", "cwd", "versions")
        }
        self._next = SpareOrder(
            request["key"],
            request["idle_seconds"],
            {**opening, "buckets": [], "command": []},
            {worker: orders.order(asked) for worker, asked in self._sparks.items()},
            request["basetemp"],
        )

    def _adopt(self, pid: int) -> None:
        """Make a process that the client started the session's own."""
        identity = ProcessIdentity.of(pid)
        entry = self._directory.journal.intend("process", "command")
        self._directory.journal.created(entry, **identity.to_dict())
        self._adopted.append(identity)

    def _keep_files(self, worker: str) -> None:
        """Let what is in the session's directory for a look, under ``kept``, outlive the session."""
        entry = self._directory.journal.intend("directory", KEPT_NAME)
        (self._directory.path / KEPT_NAME).mkdir(mode=0o700, exist_ok=True)
        self._directory.journal.kept(entry, worker=worker)
        self._keep = True

    async def _close(self) -> Message:
        """Take the environment away; answer what that waits for if it takes long, so that the client asks again."""
        assert self._aws is not None
        closing = asyncio.ensure_future(self._take_down())
        acting = asyncio.ensure_future(self._has_ended_all.wait())
        await asyncio.wait([closing, acting], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if acting.done():
            await asyncio.wait([closing], timeout=_REMOVE_SECONDS)
            if not closing.done():
                return {"problems": [], "notes": [*self._aws.notes(), _STILL_REMOVED], "goes_on": True}
        acting.cancel()
        if not closing.done():
            return {"waits_for": self._ending}
        return {"problems": closing.result(), "notes": self._aws.notes()}

    def _say_of_end(self, text: str) -> None:
        self._ending = text

    async def _take_down(self) -> list[str]:
        """Take the environment away, once, and return what could not be removed."""
        if self._teardown is None:
            self._teardown = asyncio.create_task(self._take_all_down())
        return await asyncio.shield(self._teardown)

    async def _take_all_down(self) -> list[str]:
        self._reserve.give_back()
        try:
            return await teardown.take_down(
                self._directory,
                keep=self._keep,
                adopted=self._adopted,
                backend=self._backend,
                aws=self._aws,
                has_ended_all=self._has_ended_all,
            )
        finally:
            self._turn.leave()

    async def _sweep_others(self) -> None:
        """Remove what dead sessions of this machine left, once this one is ready."""
        assert self._aws is not None
        try:
            await self._aws.ready()
            known = removers() if isinstance(self._backend, AwsBackend) else machine_removers()
            await asyncio.to_thread(sweep, self._root, delete=True, removers=known)
        except (errors.IsolatedEmrError, OSError):
            # Nothing of this session depends on it; the log says why, and the next session tries again.
            traceback.print_exc()
