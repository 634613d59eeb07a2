"""A JVM for a job that is still to come: one that is expected to be submitted as an earlier one was.

It has done a first job of ours and waits (``spark/redirect/java/SubmitAhead.java``). It serves one job, once, and only one
whose JVM would have been started in the same way; any other gets a JVM of its own.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_isolated_emr.emr.commands.containers import Container
from pytest_isolated_emr.emr.commands.context import CommandContext
from pytest_isolated_emr.emr.commands.jvm import spark_command, spark_variables
from pytest_isolated_emr.emr.commands.submit_options import SubmitOptions
from pytest_isolated_emr.spark import launch, properties

#: What is not ready, and has not used a processor for so long, hangs or is stopped, in seconds.
_IDLE_SECONDS = 5.0


@dataclass(frozen=True)
class Shape:
    """All of a submission that its JVM's start depends on.

    :param options: those of the command line that are no settings.
    :param conf: its settings, and so also what Java gets.
    :param variables: those that it asks for.
    :param is_cluster: whether it runs in a container.
    :param configuration: the state of the cluster's files of settings.
    """

    options: tuple[str, ...]
    conf: tuple[tuple[str, str], ...]
    variables: tuple[tuple[str, str], ...]
    is_cluster: bool
    configuration: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, context: CommandContext, options: SubmitOptions, variables: Mapping[str, str]) -> Shape:
        """Return it.

        :param context: the cluster.
        :param options: of the command line, without what would lead out of the session.
        :param variables: those that it asks for.
        """
        files = sorted((context.directory / "conf").iterdir())
        return cls(
            tuple(options.options),
            tuple(options.conf.items()),
            tuple(variables.items()),
            options.deploy_mode == "cluster",
            tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files),
        )


class JvmAhead:
    """The JVM.

    :param shape: of the submissions that it is for.
    :param container: where the job will run, in cluster mode.
    :param process: the JVM.
    :param ready: the end of a pipe from which a line is read when it waits.
    """

    def __init__(
        self, shape: Shape, container: Container | None, process: subprocess.Popen[bytes], ready: int
    ) -> None:
        self.shape = shape
        self.container = container
        self.process = process
        self._ready = ready

    @classmethod
    def start(
        cls, context: CommandContext, options: SubmitOptions, variables: Mapping[str, str]
    ) -> JvmAhead | None:
        """Start one for a submission like an earlier one, if such a one can be foreseen.

        :param context: the cluster.
        :param options: of the earlier one.
        :param variables: those that it asked for.
        """
        environ = {**os.environ, **spark_variables(context), **variables}
        settings = options.jvm_settings(context.spark.properties)
        if not _can_be_foreseen(context, options, settings, environ):
            return None
        shape = Shape.of(context, options, variables)
        container = Container.make(context.directory) if shape.is_cluster else None
        if container is not None:
            environ |= container.variables()
        reading, writing = os.pipe()
        command = launch.command_ahead(
            spark_command(context, options.for_spark(), settings, environ), f"/dev/fd/{writing}"
        )
        with container.open_logs() if container is not None else contextlib.nullcontext((None, None)) as logs:
            process = subprocess.Popen(
                command,
                cwd=container.directory if container is not None else None,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=logs[0],
                stderr=logs[1],
                pass_fds=(writing,),
            )
        os.close(writing)
        return cls(shape, container, process, reading)

    def is_ready(self) -> bool:
        """Hurry it on, wait until it waits, and tell whether it does."""
        self._write(b"\n")
        # No image has it, and none needs it: in containers no JVM is started ahead.
        import psutil

        process, used = psutil.Process(self.process.pid), -1.0
        while not (found := select.select([self._ready], [], [], _IDLE_SECONDS)[0]):
            before, used = used, sum(process.cpu_times()[:2])
            if used == before:
                break
        is_ready = bool(found) and os.read(self._ready, 1) != b""
        os.close(self._ready)
        return is_ready

    def hand_over(self, options: SubmitOptions) -> subprocess.Popen[bytes]:
        """Have it do a job, and return its process.

        :param options: of the job, whose files are on the disk.
        """
        assert self.process.stdin is not None
        if self.container is not None:
            self.container.show_logs()
        self._write("".join(f"{argument}\0" for argument in options.for_spark()).encode())
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        return self.process

    def _write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        # What has ended meanwhile says so by its exit code.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def end(self) -> None:
        """End it, as it is not wanted."""
        self.process.kill()
        self.process.wait()
        if self.container is not None:
            self.container.remove()


def _can_be_foreseen(
    context: CommandContext, options: SubmitOptions, settings: Mapping[str, str], environ: Mapping[str, str]
) -> bool:
    """Tell whether all that a JVM starts with, and does before its job, is known before there is a job."""
    return (
        options.primary.endswith(".py")
        # Files that may be others by then.
        and "--properties-file" not in options.options
        and not (context.directory / "conf" / "log4j2.properties").exists()
        and settings.get("spark.driver.extraClassPath") == context.spark.class_path
        # Ivy's answer is part of the settings.
        and not settings.get("spark.jars.packages")
        and not options.packages
        # The first job sets Hadoop up as the cluster's settings say.
        and not any(key.startswith("spark.hadoop.") for key in options.conf)
        and properties.has_plain_java(settings, environ)
    )
