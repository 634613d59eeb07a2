"""The first process of each container: runs what the keeper asks for, and ends with the keeper's end of its input.

It reads one JSON object a line from standard input and answers on standard output, each answer with the request's
``id``. When standard input ends, the keeper is gone or has let go: this process ends, and with it, as it is the first of
its PID namespace, everything in the container (https://man7.org/linux/man-pages/man7/pid_namespaces.7.html).

The image's own Python runs this file, whatever its version and packages: hence the standard library alone, and nothing
newer than Python 3.8.
"""

from __future__ import annotations

import errno
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

#: How long the keeper may take to say something first, in seconds; it may have died between start and attach.
_FIRST_WORD_SECONDS = 120


class Supervisor:
    """Runs commands, each under a name."""

    def __init__(self) -> None:
        self._running: dict[int, dict[str, Any]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Do what a request says; return the answer, or nothing where it comes later."""
        operation = request["op"]
        if operation == "look":
            return look()
        if operation == "run":
            return self._run(request)
        if operation == "memory":
            return {"kills": kills_for_memory()}
        pid = next((pid for pid, one in self._running.items() if one["name"] == request["name"]), None)
        if operation == "signal":
            if pid is not None:
                os.kill(pid, request["number"])
            return {"sent": pid is not None}
        if operation == "end":
            if pid is not None:
                end_tree(pid)
            return {"ended": pid is not None}
        return {"failed": "unknown operation " + repr(operation)}

    def ended(self) -> list[dict[str, Any]]:
        """Take away every process that has ended, orphans too, and return what is to be said of commands."""
        answers: list[dict[str, Any]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return answers
            if pid == 0:
                return answers
            command = self._running.pop(pid, None)
            if command is not None:
                code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                # Its own wait would find nobody.
                command["process"].returncode = code
                answers.append({"id": command["id"], "returncode": code})

    def _run(self, request: dict[str, Any]) -> dict[str, Any] | None:
        try:
            with open(request["stdout"], "ab") as stdout, open(request["stderr"], "ab") as stderr:
                process = subprocess.Popen(
                    request["command"],
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    env={**os.environ, **request["environ"]},
                    cwd=request["cwd"],
                    start_new_session=True,
                )
        except OSError as error:
            return {"not_started": [error.errno, error.strerror]}
        except ValueError as error:
            # A null character in an argument, say.
            return {"not_started": [errno.EINVAL, str(error)]}
        self._running[process.pid] = {"id": request["id"], "name": request["name"], "process": process}
        return None


def look() -> dict[str, Any]:
    """Say what the image has."""
    home = os.environ.get("SPARK_HOME", "")
    jars = [jar.name for jar in Path(home, "jars").glob("*.jar")] if home else []
    java_home = os.environ.get("JAVA_HOME", "")
    java = shutil.which("java", path=str(Path(java_home, "bin")) if java_home else None)
    return {
        "python": list(sys.version_info[:2]),
        "python_executable": sys.executable,
        "path": os.environ.get("PATH", os.defpath),
        "java": os.path.realpath(java) if java else "",
        "spark_home": home if jars else "",
        "spark": _version(jars, r"spark-core_.*?-(\d.*)\.jar"),
        "hadoop_aws": _version(jars, r"hadoop-aws-(\d.*)\.jar"),
    }


def _version(jars: list[str], pattern: str) -> str:
    found = [match for match in (re.fullmatch(pattern, jar) for jar in jars) if match]
    return found[0].group(1) if found else ""


def kills_for_memory() -> int:
    """Count the processes of the container that the kernel killed as there was too little memory.

    https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html have the files.
    """
    for name in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        try:
            with open(name) as file:
                counts = dict(line.split() for line in file)
        except OSError:
            continue
        return int(counts.get("oom_kill", 0))
    return 0


def end_tree(root: int) -> None:
    """Kill a process and all that descends from it, what it starts meanwhile too."""
    known: set[int] = set()
    while True:
        tree = _descendants(root) | {root}
        if tree <= known:
            break
        # A stopped process starts no others.
        for pid in tree - known:
            _kill(pid, signal.SIGSTOP)
        known |= tree
    for pid in known:
        _kill(pid, signal.SIGKILL)


def _descendants(root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name of the program, in parentheses, may have anything in it.
            fields = status.read_bytes().rpartition(b")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _take_stdout() -> int:
    """Return a descriptor for answers alone: what is written to this process's standard output goes to the other one."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _say(answers: int, message: dict[str, Any]) -> None:
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(answers, line) :]


def main() -> int:
    """Serve until standard input ends."""
    answers = _take_stdout()
    supervisor = Supervisor()
    wakeup, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    # `docker stop` and the like.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    received = b""
    patience: float | None = _FIRST_WORD_SECONDS
    while True:
        ready = select.select([0, wakeup], [], [], patience)[0]
        if not ready:
            return 0
        if wakeup in ready:
            os.read(wakeup, 4096)
        for answer in supervisor.ended():
            _say(answers, answer)
        if 0 in ready:
            patience = None
            chunk = os.read(0, 65536)
            if not chunk:
                return 0
            *lines, received = (received + chunk).split(b"\n")
            for line in lines:
                request = json.loads(line)
                at_once = supervisor.answer(request)
                if at_once is not None:
                    _say(answers, {"id": request["id"], **at_once})


if __name__ == "__main__":
    sys.exit(main())
