"""The next step's ``spark-submit``, started before there is that step: half of what a small step takes is its JVM's start.

A cluster has at most one, once it has run a Python job. It knows its step's id, so that its environment and directory are
the step's own. A step that submits another kind of job does not use it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

from pytest_isolated_emr.emr.cluster_files import ClusterFiles
from pytest_isolated_emr.emr.commands.submit_options import SubmitOptions
from pytest_isolated_emr.keeper.concurrent_client import ConcurrentKeeperClient

_SUBMIT = "spark-submit"
_MODULE = "pytest_isolated_emr.emr.commands.submit_ahead"


class StepsAhead:
    """Those of one cluster.

    :param keeper: owns the processes.
    :param cluster_id: the cluster.
    :param files: its directory.
    """

    def __init__(self, keeper: ConcurrentKeeperClient, cluster_id: str, files: ClusterFiles) -> None:
        self._keeper = keeper
        self._cluster_id = cluster_id
        self._files = files
        self._lock = threading.Lock()
        #: The step that there is one for.
        self._step_id = ""

    def take(self, step_id: str, command: Sequence[str]) -> str:
        """Return what the one for a step is told to do, as the step begins; empty if its command is of another kind.

        :param step_id: the step.
        :param command: the step's.
        """
        with self._lock:
            if step_id == self._step_id:
                self._step_id = ""
        return json.dumps(list(command[1:])) if self._is_python(command) else ""

    def start(self, step_id: str, command: Sequence[str]) -> None:
        """Start one for a step, unless there is one, expecting that its command is like an earlier step's.

        :param step_id: of a step that has not begun; empty for none.
        :param command: of the earlier step.
        """
        if not step_id or not self._is_python(command):
            return
        with self._lock:
            if step_id == self._step_id:
                return
            former, self._step_id = self._step_id, step_id
        if former:
            # Its step was cancelled before it began.
            self._keeper.request("end_ahead", cluster=self._cluster_id, name=name_of(former))
        output = self._files.path / "steps" / step_id
        self._keeper.request(
            "start_ahead",
            cluster=self._cluster_id,
            name=name_of(step_id),
            # By way of a shell, as the step's own program, which sets a variable.
            command=["/bin/sh", "-c", 'exec "$@"', "sh", *self._files.module_runner, _MODULE, *command[1:]],
            environ=self._files.variables | {"EMR_STEP_ID": step_id},
            cwd=str(self._files.step_directory(step_id)),
            stdout=str(output.with_suffix(".stdout")),
            stderr=str(output.with_suffix(".stderr")),
        )

    def _is_python(self, command: Sequence[str]) -> bool:
        is_submit = command[0] in (_SUBMIT, str(self._files.programs / _SUBMIT))
        return is_submit and SubmitOptions.parse(command[1:]).primary.endswith(".py")


def name_of(step_id: str) -> str:
    """Return what the keeper knows a step's command by.

    :param step_id: the step.
    """
    return f"step {step_id}"
