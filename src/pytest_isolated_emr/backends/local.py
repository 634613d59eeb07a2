"""The ``local`` backend: Spark's JVMs are children of the keeper, on this machine."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.aws.environment import without_profiles
from pytest_isolated_emr.backends.base import BackendContext, ClusterRequest, CommandRequest, SparkRequest
from pytest_isolated_emr.backends.local_commands import LocalCommands
from pytest_isolated_emr.emr.cluster_spark import ClusterSpark
from pytest_isolated_emr.keeper import children
from pytest_isolated_emr.keeper.children import Child
from pytest_isolated_emr.spark import launch, properties

# How often to look whether the JVM has written where it listens; nothing announces it.
_POLL_SECONDS = 0.01

_CONNECTION_FILE = "gateway"


class _Jvm:
    """One JVM with py4j's gateway, from its start on."""

    def __init__(self, directory: Path, log: Path, request: SparkRequest) -> None:
        self.directory = directory
        self.log = log
        self.request = request
        self.child: Child | None = None
        self.gateway: asyncio.Task[dict[str, Any]] | None = None
        #: What its environment has to become, if it was started without all of it.
        self.environ: dict[str, str] | None = None

    @property
    def returncode(self) -> int | None:
        return self.child.process.returncode if self.child is not None else None


class LocalBackend:
    """Starts a JVM for each worker that asks for one, and the commands of EMR clusters.

    :param context: the session.
    """

    def __init__(self, context: BackendContext) -> None:
        self._directory = context.directory
        self._journal = context.journal
        self._variables = context.variables
        self._jvms: dict[str, _Jvm] = {}
        self._started = 0
        self._commands = LocalCommands(context.journal, context.variables)

    async def open(self) -> None:
        """Need nothing: Spark is on this machine."""

    def use_endpoint(self, url: str, url_by_address: str | None) -> None:
        """Need nothing: settings and variables have the URL."""

    async def waits_for(self) -> str:
        """Wait for nothing."""
        return ""

    async def start_spark(self, worker: str, request: SparkRequest) -> None:
        """Start a JVM for a worker, in place of the one that it has."""
        await self.end_worker(worker)
        self._started += 1
        directory = self._directory / "jvms" / f"{worker}-{self._started}"
        entry = self._journal.intend("directory", str(directory.relative_to(self._directory)))
        for name in ("conf", "tmp", "local"):
            (directory / name).mkdir(parents=True, mode=0o700)
        self._journal.created(entry)
        jvm = _Jvm(directory, self._directory / "logs" / f"spark-{worker}.log", request)
        self._jvms[worker] = jvm
        jvm.gateway = asyncio.create_task(self._launch(jvm))
        # Nobody may ever ask for it; then its failure is nobody's either.
        jvm.gateway.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def check(self, worker: str) -> None:
        """Know nothing of a JVM before it answers; its Java was looked at before."""

    async def spark_gateway(self, worker: str) -> dict[str, Any]:
        """Wait until the worker's JVM listens; return its ``port``, ``secret`` and ``log``."""
        jvm = self._jvms.get(worker)
        if jvm is None or jvm.gateway is None:
            raise errors.BadRequest(
                f"No Spark was started for {worker}.",
                checked="what the session started",
                cure="Report this: the plugin asks for a start before it asks for the gateway.",
            )
        where = await asyncio.shield(jvm.gateway)
        return where if jvm.environ is None else {**where, "environ": jvm.environ}

    async def spark_status(self, worker: str) -> dict[str, Any]:
        """Tell whether the worker's JVM runs, or how it ended, and where its log is."""
        jvm = self._jvms.get(worker)
        if jvm is None:
            return {"alive": False, "exit": "none was started", "log": "", "note": ""}
        if jvm.returncode is None:
            return {"alive": True, "exit": "", "log": str(jvm.log), "note": ""}
        how = children.describe_exit(jvm.returncode)
        return {"alive": False, "exit": how, "log": str(jvm.log), "note": ""}

    async def end_worker(self, worker: str) -> list[str]:
        """End the worker's JVM with its Python workers, and return what could not be ended."""
        jvm = self._jvms.pop(worker, None)
        if jvm is None:
            return []
        # The launch runs to its end, or its child would be nobody's.
        if jvm.gateway is not None and jvm.child is None:
            await asyncio.wait([jvm.gateway], return_when=asyncio.FIRST_COMPLETED, timeout=0.5)
        if jvm.gateway is not None:
            jvm.gateway.cancel()
        return [] if jvm.child is None else await jvm.child.end()

    async def warm_up(self, worker: str, log: Path) -> None:
        """Wait until a worker's JVM listens, and run a job in it."""
        jvm = self._jvms[worker]
        where = await self.spark_gateway(worker)
        environ = {
            **without_profiles(self._environ(jvm)),
            "PYSPARK_GATEWAY_PORT": str(where["port"]),
            "PYSPARK_GATEWAY_SECRET": where["secret"],
        }
        job = await children.start(
            "warm-up",
            [sys.executable, "-m", "pytest_isolated_emr.spark.warm_up", str(jvm.directory / "tmp")],
            journal=self._journal,
            environ=environ,
            cwd=jvm.directory / "tmp",
            log=log,
        )
        try:
            returncode = await asyncio.wait_for(job.wait(), jvm.request.timeout)
        except asyncio.TimeoutError:
            await job.end()
            raise self._not_started(jvm, f"did not do a first job within {jvm.request.timeout:g} s") from None
        if returncode != 0:
            how = children.describe_exit(returncode)
            raise errors.SparkNotStarted(
                f"A first job in the Spark JVM ended with {how}.",
                checked=f"its process; its log {log} ends with:\n{children.tail(log)}",
                cure="Tests run without a spare, only later. Mend what the log names (`isolated-emr doctor`).",
            )

    async def answers(self, worker: str) -> bool:
        """Tell whether the worker's JVM answers to its secret."""
        where = await self.spark_gateway(worker)
        reader, writer = await asyncio.open_connection("127.0.0.1", where["port"])
        try:
            writer.write(f"A\n{where['secret']}\ne\n".encode())
            return (await reader.readline()).startswith(b"!y")
        finally:
            writer.close()

    async def hand_over(self, worker: str, request: SparkRequest) -> None:
        """Take the worker's JVM, which has been started without all of the environment."""
        jvm = self._jvms[worker]
        jvm.request = request
        jvm.environ = self._environ(jvm)

    async def begin_cluster(self, request: ClusterRequest) -> ClusterSpark:
        """Return the cluster's Spark: it is the session's."""
        return request.spark

    async def prepare_cluster(self, cluster: str) -> None:
        """Do nothing: this machine is there."""

    async def session_port(self, cluster: str, port: int) -> int | None:
        """Return the port: it is this machine's."""
        return port

    async def start_ahead(self, request: CommandRequest) -> None:
        """Start a command of a cluster before it is wanted."""
        await self._commands.start_ahead(request)

    async def end_ahead(self, cluster: str, name: str) -> None:
        """End a command that was started ahead and is not wanted, if there is one."""
        await self._commands.end_ahead(cluster, name)

    async def run_command(self, request: CommandRequest) -> int:
        """Run a command of a cluster to its end, and return its exit code, negative for a signal."""
        return await self._commands.run(request)

    async def signal_command(self, cluster: str, name: str, number: int) -> bool:
        """Send a signal to a running command of a cluster; tell whether there is one."""
        return self._commands.signal(cluster, name, number)

    async def end_command(self, cluster: str, name: str) -> bool:
        """End a running command of a cluster with all that descends from it; tell whether there is one."""
        return await self._commands.end(cluster, name)

    async def end_cluster(self, cluster: str) -> list[str]:
        """End all that a cluster's commands started, and return what could not be ended."""
        return await self._commands.end_cluster(cluster)

    async def close(self) -> list[str]:
        """End every JVM and every cluster's commands, and return what could not be ended."""
        results = await asyncio.gather(
            self._commands.close(), *(self.end_worker(worker) for worker in list(self._jvms))
        )
        return [problem for problems in results for problem in problems]

    async def _launch(self, jvm: _Jvm) -> dict[str, Any]:
        request = jvm.request
        connection_file = jvm.directory / _CONNECTION_FILE
        properties.write(jvm.directory / "conf" / "spark-defaults.conf", request.properties)
        environ = self._environ(jvm)
        printed = await self._ask_launcher(jvm, environ)
        command = launch.jvm_command(printed, jvm.directory / "conf")
        jvm.child = await children.start(
            "spark", command, journal=self._journal, environ=environ, cwd=request.cwd, log=jvm.log
        )
        try:
            await asyncio.wait_for(self._wait_for(connection_file, jvm), request.timeout)
        except asyncio.TimeoutError:
            await jvm.child.end()
            raise self._not_started(jvm, f"did not answer within {request.timeout:g} s") from None
        port, secret = launch.read_connection_file(connection_file)
        connection_file.unlink()
        return {"port": port, "secret": secret, "log": str(jvm.log), "directory": str(jvm.directory)}

    def _environ(self, jvm: _Jvm) -> dict[str, str]:
        """Return the environment of a JVM: that of its client, with what is the JVM's own."""
        request = jvm.request
        return {
            **request.environ,
            **self._variables,
            **launch.script_variables(request.spark_home),
            "SPARK_CONF_DIR": str(jvm.directory / "conf"),
            "SPARK_LOCAL_DIRS": str(jvm.directory / "local"),
            "TMPDIR": str(jvm.directory / "tmp"),
            # By these the JVM tells PySpark where it listens, and with what secret.
            "_PYSPARK_DRIVER_CONN_INFO_PATH": str(jvm.directory / _CONNECTION_FILE),
            "SPARK_CONNECT_MODE": "0",
        }

    async def _ask_launcher(self, jvm: _Jvm, environ: dict[str, str]) -> bytes:
        """Return what Spark's launcher prints: the JVM's command."""
        request = jvm.request
        launcher = jvm.child = await children.start(
            "spark launcher",
            launch.launcher_command(request.spark_home, environ),
            journal=self._journal,
            environ=environ,
            cwd=request.cwd,
            log=jvm.log,
            stdout=subprocess.PIPE,
        )
        assert launcher.process.stdout is not None
        try:
            printed = await asyncio.wait_for(launcher.process.stdout.read(), request.timeout)
        except asyncio.TimeoutError:
            await launcher.end()
            raise self._not_started(
                jvm, f"was not started: its launcher did not answer within {request.timeout:g} s"
            ) from None
        returncode = await launcher.process.wait()
        await launcher.end()
        if returncode != 0:
            raise self._not_started(
                jvm, f"was not started: its launcher ended with {children.describe_exit(returncode)}"
            )
        # Whoever ends this worker now has to wait for the JVM itself, or it would be nobody's.
        jvm.child = None
        return printed

    async def _wait_for(self, connection_file: Path, jvm: _Jvm) -> None:
        # The JVM writes the file under another name first, so that it is whole once it is there.
        while not connection_file.exists():
            if jvm.returncode is not None:
                raise self._not_started(
                    jvm, f"ended at its start with {children.describe_exit(jvm.returncode)}"
                )
            await asyncio.sleep(_POLL_SECONDS)

    def _not_started(self, jvm: _Jvm, how: str) -> errors.SparkNotStarted:
        return errors.SparkNotStarted(
            f"The Spark JVM {how}.",
            checked=f"its process; its log {jvm.log} ends with:\n{children.tail(jvm.log)}",
            cure="Mend what the log names: a setting of the suite, memory, or Java (`isolated-emr doctor`).",
        )
