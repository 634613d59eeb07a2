"""Runs a step or a bootstrap action of a cluster: its command, its logs, what is to be said about its end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_isolated_emr.emr.cluster_files import ClusterFiles
from pytest_isolated_emr.emr.commands_of_steps import (
    NotRunnable,
    command_of_bootstrap_action,
    command_of_step,
)
from pytest_isolated_emr.emr.logs import ControllerLog, LogUploads
from pytest_isolated_emr.emr.session_server import SessionServer
from pytest_isolated_emr.emr.steps import FailureDetails, Step
from pytest_isolated_emr.emr.steps_ahead import StepsAhead, name_of
from pytest_isolated_emr.keeper.concurrent_client import ConcurrentKeeperClient

_TAIL = 4000


class Runner:
    """Runs what one cluster has to run.

    :param keeper: owns the processes.
    :param cluster_id: the cluster.
    :param files: its directory.
    :param uploads: where its logs go.
    """

    def __init__(
        self, keeper: ConcurrentKeeperClient, cluster_id: str, files: ClusterFiles, uploads: LogUploads
    ) -> None:
        self._keeper = keeper
        self._cluster_id = cluster_id
        self._files = files
        self._uploads = uploads
        self._ahead = StepsAhead(keeper, cluster_id, files)

    def run_step(self, step: Step, next_step_id: Callable[[], str]) -> FailureDetails | None:
        """Run a step to its end, and return why it failed, if it did; its logs are on S3 then.

        :param step: the step.
        :param next_step_id: returns the id of the step that begins next; empty if there will be none.
        """
        logs = self._files.log_directory("steps", step.id)
        controller = ControllerLog(logs / "controller")
        (logs / "syslog").touch()
        directory = self._files.step_directory(step.id)
        for note in self._files.notes:
            controller.warn(note)
        started = time.monotonic()
        try:
            command = command_of_step(step, directory, self._files.program_of)
        except NotRunnable as error:
            (logs / "stdout").touch()
            (logs / "stderr").write_text(f"{error}\n", encoding="utf-8")
            returncode = None
        else:
            line = self._ahead.take(step.id, command)
            threading.Thread(
                target=lambda: self._ahead.start(next_step_id(), command),
                name=f"after {step.id}",
                daemon=True,
            ).start()
            returncode = self._run(
                name_of(step.id),
                command,
                directory,
                logs,
                controller,
                {"EMR_STEP_ID": step.id},
                line,
            )
        seconds = round(time.monotonic() - started)
        controller.info("Step created jobs: ")
        if returncode == 0:
            controller.info(f"Step succeeded with exitCode 0 and took {seconds} seconds")
        else:
            controller.warn(f"Step failed with exitCode {_exit_code(returncode)} and took {seconds} seconds")
        for problem in self._uploads.send(logs, "steps", step.id):
            controller.warn(problem)
        for application in self._files.applications_of(step.id):
            self._uploads.send(self._files.logs / "containers" / application, "containers", application)
        if returncode == 0:
            return None
        return _failure(logs / "stderr", self._uploads.url("steps", step.id, "stderr"))

    def run_bootstrap_action(self, number: int, path: str, arguments: list[str], instance: str) -> int | None:
        """Run a bootstrap action to its end; its logs are on S3 then.

        :param number: its place among the cluster's, from 1.
        :param path: its script.
        :param arguments: the script's.
        :param instance: the id of the instance that it runs on.
        :returns: its exit code, negative for a signal; None if there is no such script.
        """
        place = ("node", instance, "bootstrap-actions", str(number))
        logs = self._files.log_directory(*place)
        controller = ControllerLog(logs / "controller")
        directory = self._files.path / "bootstrap"
        try:
            command = command_of_bootstrap_action(path, arguments, directory)
        except NotRunnable as error:
            (logs / "stdout").touch()
            (logs / "stderr").write_text(f"{error}\n", encoding="utf-8")
            returncode = None
        else:
            returncode = self._run(f"bootstrap action {number}", command, directory, logs, controller, {})
            # What is there and cannot be run is no failure to download it.
            returncode = 1 if returncode is None else returncode
        if returncode != 0:
            controller.warn(f"Bootstrap action failed with exitCode {_exit_code(returncode)}")
        self._uploads.send(logs, *place)
        return returncode

    def cancel_step(self, step: Step, *, at_once: bool) -> bool:
        """Cancel a running step (EMR Management Guide, "Cancel steps"), and tell whether its process was there.

        :param step: the step.
        :param at_once: whether it is killed with all that descends from it; else its own process is asked to end.
        """
        of_step = {"cluster": self._cluster_id, "name": name_of(step.id)}
        if at_once:
            return bool(self._keeper.request("end_command", **of_step)["ended"])
        return bool(self._keeper.request("signal_command", **of_step, number=signal.SIGTERM)["sent"])

    def session_server(self, session_id: str, request: dict[str, Any]) -> SessionServer:
        """Return the Spark Connect server of a session, not started.

        :param session_id: the session.
        :param request: StartSession's.
        """
        monitoring = (request.get("MonitoringConfiguration") or {}).get("S3LoggingConfiguration") or {}
        uploads = self._uploads
        if monitoring.get("LogUri") and monitoring.get("Enabled", True):
            uploads = LogUploads(monitoring["LogUri"], self._cluster_id)
        settings = request.get("EngineConfigurations") or ()
        return SessionServer(
            self._keeper, self._cluster_id, self._files, uploads, session_id=session_id, asked=settings
        )

    def prepare(self) -> None:
        """Have made what the cluster's commands run in, before the first of them; return at once."""
        self._keeper.request("prepare_cluster", cluster=self._cluster_id)

    def end(self) -> None:
        """End all that the cluster's commands started."""
        self._keeper.request("end_cluster", cluster=self._cluster_id)

    def _run(
        self,
        name: str,
        command: list[str],
        directory: Path,
        logs: Path,
        controller: ControllerLog,
        variables: dict[str, str],
        line: str = "",
    ) -> int | None:
        """Run a command to its end; return its exit code, negative for a signal, or None if it did not start."""
        text = " ".join(command)
        controller.info(f"startExec '{text}'")
        controller.info(f"redirectOutput to {logs / 'stdout'}")
        controller.info(f"redirectError to {logs / 'stderr'}")
        controller.info(f"Working dir {directory}")
        started = time.monotonic()
        reply = self._keeper.request(
            "run_command",
            cluster=self._cluster_id,
            name=name,
            command=command,
            environ=self._files.variables | variables,
            cwd=str(directory),
            stdout=str(logs / "stdout"),
            stderr=str(logs / "stderr"),
            line=line,
        )
        if "not_started" in reply:
            with (logs / "stderr").open("a", encoding="utf-8") as stderr:
                stderr.write(
                    'Exception in thread "main" java.lang.RuntimeException: java.io.IOException: '
                    f'Cannot run program "{command[0]}" (in directory "."): {reply["not_started"]}\n'
                )
            return None
        returncode: int = reply["returncode"]
        controller.info(f"waitProcessCompletion ended with exit code {_exit_code(returncode)} : {text}")
        controller.info(f"total process run time: {round(time.monotonic() - started)} seconds")
        return returncode


def _exit_code(returncode: int | None) -> int:
    """Return the exit code as a shell has it; 1 for what did not start."""
    if returncode is None:
        return 1
    return returncode if returncode >= 0 else 128 - returncode


def _failure(stderr: Path, log_file: str | None) -> FailureDetails:
    """Look in a step's log for the reason of its failure, as EMR does."""
    with stderr.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - _TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    for line in reversed(lines):
        if line.startswith(("Exception in thread", "Caused by:")) or (
            "Error: " in line and not line.startswith(" ")
        ):
            return FailureDetails("Unknown Error.", line.strip(), log_file)
    return FailureDetails("Unknown Error.", None, log_file)
