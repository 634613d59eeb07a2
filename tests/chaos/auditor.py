"""What really is on the machine, by ``/proc``, ports, directories and containers.

It shares no code with what it judges, and knows of it only this: a run id's form, that ids and directories are in the
environment, the command line or the open files of what a session owns, and where the sessions' directories are.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import stat
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from tests.chaos.place import FOREIGN, REAL_KEY, Place
from tests.chaos.plan import DOCKER
from tests.chaos.proc import Process, Socket, all_processes, is_loopback, is_private, network_of, sockets
from tests.chaos.started_run import RUN_ID, StartedRun, is_keeper

_LOOK_SECONDS = 0.2
_ANSWER_SECONDS = 3.0

#: What is where: kind, mode, and its contents' hash, or a link's target.
Tree = dict[str, tuple[str, int, str]]


class Auditor:
    """Looks at a round from ``with`` on to its end.

    :param place: where the round is.
    :param runs: its runs.
    """

    def __init__(self, place: Place, runs: Sequence[StartedRun]) -> None:
        self._place = place
        self._runs = runs
        self._over = threading.Event()
        self._violations: list[str] = []
        self._failed: list[BaseException] = []
        self._owner_of_port: dict[tuple[str, str, int], str] = {}
        self._asked: set[tuple[str, str]] = set()
        #: Ids of the sessions whose keepers each run started.
        self._ids: dict[int, set[str]] = defaultdict(set)
        self._noted: set[tuple[int, int]] = set()

    def __enter__(self) -> Auditor:
        self._before = {path: tree(path) for path in self._place.untouchable()}
        self._threads = [
            threading.Thread(target=self._again_and_again, args=(look,), daemon=True)
            for look in (self._look_at_processes, self._present_keys)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._failed and error is None:
            raise self._failed[0]

    def violations(self) -> list[str]:
        """Return what was seen of broken promises so far."""
        return list(self._violations)

    def ids_of(self, run: StartedRun) -> set[str]:
        """Return the ids of the sessions that a run had."""
        return self._ids[run.number] | run.run_ids()

    def left_of(self, ids: set[str], *, only_what_acts: bool) -> list[str]:
        """Return what is left of sessions.

        :param ids: theirs.
        :param only_what_acts: leave out what only lies there: their directories, and containers that have ended.
        """
        found = [
            f"process {process}"
            for process in all_processes()
            if any(process.mentions(name) for name in ids) and not self._only_looks(process)
        ]
        if self._place.round.kind == DOCKER:
            found += [
                line for line in containers(running=only_what_acts) if any(name in line for name in ids)
            ]
        if not only_what_acts:
            found += [
                f"directory {path.name}"
                for path in self._sessions()
                if ids & set(RUN_ID.findall(path.name)) and not is_kept(path)
            ]
        return found

    def left(self) -> list[str]:
        """Return what is left of all of the round, when nothing is to be."""
        place = self._place
        found = [
            f"left: process {process}"
            for process in all_processes()
            if process.mentions(str(place.directory))
        ]
        found += [f"left: directory {path.name}" for path in self._sessions() if path.name != FOREIGN]
        found += [
            f"left: temporary file {path.name}"
            for path in place.temporary.iterdir()
            # Pytest's own, which keeps the last three.
            if not path.name.startswith("pytest-of-")
        ]
        if place.round.kind == DOCKER:
            ids = set().union(*(self.ids_of(run) for run in self._runs))
            found += [f"left: {line}" for line in containers() if any(name in line for name in ids)]
        return found

    def changed(self) -> list[str]:
        """Return what is not as it was, of all that no session may touch."""
        found = []
        for path, before in self._before.items():
            now = tree(path)
            for name in sorted(before.keys() | now.keys()):
                if before.get(name) != now.get(name):
                    what = "is new" if name not in before else "is gone" if name not in now else "has changed"
                    found.append(f"touched: {path.name}/{name} {what}")
        return found

    def _sessions(self) -> list[Path]:
        return [path for path in (self._place.home / "sessions").iterdir() if RUN_ID.search(path.name)]

    def _again_and_again(self, look: Callable[[], None]) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                look()
            except Exception as error:  # noqa: BLE001 - an auditor that saw nothing says so at its end
                self._failed.append(error)
                return

    def _look_at_processes(self) -> None:
        own = str(self._place.directory)
        networks: dict[str, dict[str, Socket]] = {}
        for process in all_processes():
            marked = own.encode() in process.environ or own in process.command
            if not marked and not self._only_ids(process):
                continue
            links = process.links()
            ids = self._ids_in(process, links)
            if is_keeper(process):
                self._note_keeper(process, links)
            self._judge(process, ids, links, networks)

    def _only_ids(self, process: Process) -> bool:
        """Tell whether a process that does not say that it is of this round has the id of one of its sessions."""
        known = set().union(*self._ids.values()) if self._ids else set()
        return any(name.encode() in process.environ or name in process.command for name in known)

    def _ids_in(self, process: Process, links: list[str]) -> set[str]:
        texts = [process.environ.decode(errors="replace"), process.command, *links]
        return {name for text in texts for name in RUN_ID.findall(text)} - {FOREIGN}

    def _note_keeper(self, process: Process, links: list[str]) -> None:
        """Note of which session a keeper is: the first whose lock it has. Later it may sweep others, and have theirs."""
        of_keeper = (process.pid, process.started)
        if of_keeper in self._noted:
            return
        for run in self._runs:
            if run.is_started and process.parent == run.pid:
                for link in links:
                    path = Path(link)
                    if path.name == "lock" and RUN_ID.fullmatch(path.parent.name):
                        self._ids[run.number].add(path.parent.name)
                        self._noted.add(of_keeper)
                        return

    def _judge(
        self, process: Process, ids: set[str], links: list[str], networks: dict[str, dict[str, Socket]]
    ) -> None:
        does_work = ids and not self._only_looks(process) and not is_keeper(process)
        if does_work and len(ids) > 1:
            self._violate(f"shared: {process} has to do with the sessions {sorted(ids)}")
        if does_work and REAL_KEY.encode() in process.environ and "endpoint" not in process.command:
            self._violate(f"real AWS: {process} of {sorted(ids)} was started with the machine's own key")
        network = network_of(process.pid)
        if network not in networks:
            networks[network] = sockets(process.pid)
        for link in links:
            if own := networks[network].get(link.removeprefix("socket:[").removesuffix("]")):
                self._judge_socket(process, own, network, ids if does_work else set())

    def _judge_socket(self, process: Process, own: Socket, network: str, ids: set[str]) -> None:
        # What is in a container has networks of its own, which nobody else is in.
        is_here = network == _HERE
        if own.listens and ids:
            owner = min(ids)
            other = self._owner_of_port.setdefault((network, own.address, own.port), owner)
            if other != owner and self._is_alive(other):
                self._violate(f"shared: port {own.port} of {other} and of {owner}")
            self._owner_of_port[network, own.address, own.port] = owner
        if own.listens and is_here and not self._is_of_this_machine(own.address):
            self._violate(f"shared: {process} listens at {own.address}:{own.port}, not on loopback")
        if not own.listens and is_here and not self._is_of_this_machine(own.other_address):
            self._violate(f"real AWS: {process} is connected to {own.other_address}")

    def _is_of_this_machine(self, address: str) -> bool:
        # Containers reach the endpoint at their network's gateway.
        return is_loopback(address) or (self._place.round.kind == DOCKER and is_private(address))

    def _only_looks(self, process: Process) -> bool:
        """Tell whether a process may look at other sessions: pytest, xdist's worker, a command."""
        return any(
            part in process.command
            for part in ("-m pytest ", "sys.stdin.readline", "pytest_isolated_emr.cli")
        )

    def _is_alive(self, run_id: str) -> bool:
        return (self._place.home / "sessions" / run_id).exists()

    def _present_keys(self) -> None:
        """Ask each session's endpoint with each other one's key, and with none."""
        told = [
            facts
            for run in self._runs
            if run.is_started and not run.over.is_set()
            for facts in run.told()
            if facts.get("endpoint_url") and network_of(facts["pid"]) == _HERE
        ]
        for asked in told:
            for asking in told:
                pair = (asked["run_id"], asking["run_id"])
                if pair in self._asked:
                    continue
                self._asked.add(pair)
                key = "" if asked["run_id"] == asking["run_id"] else asking["access_key_id"]
                status = answer(asked["endpoint_url"], key)
                # 500 lets nobody in either: the disk may be full, or descriptors be lacking.
                if status not in (None, 403, 500):
                    self._violate(
                        f"shared: {asked['run_id']} answered {asking['run_id']}'s key {key!r} with {status}"
                    )

    def _violate(self, words: str) -> None:
        if words not in self._violations:
            self._violations.append(words)


def is_kept(directory: Path) -> bool:
    """Tell whether of a session there is only what was kept of a failed test for a look, and what says whose it was.

    :param directory: the session's.
    """
    try:
        names = {path.name for path in directory.iterdir()}
    except FileNotFoundError:
        return False
    return "kept" in names and names <= {"kept", "lock", "journal", "session.json"}


def answer(url: str, key: str) -> int | None:
    """Ask an endpoint for its buckets; return the status, None if it does not answer.

    :param url: the endpoint's.
    :param key: the access key to be presented; empty for none.
    """
    parts = urlsplit(url)
    headers = {}
    if key:
        scope = f"{key}/20260101/us-east-1/s3/aws4_request"
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"
        )
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/", headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        # It has ended, or is stopped.
        return None
    finally:
        connection.close()


def tree(path: Path) -> Tree:
    """Return what is in a directory, links not followed.

    :param path: the directory.
    """
    found: Tree = {}
    for each in (path, *path.rglob("*")):
        status = each.lstat()
        kind = stat.filemode(status.st_mode)[0]
        contents = ""
        if kind == "l":
            contents = os.readlink(each)
        elif kind == "-":
            contents = hashlib.sha256(each.read_bytes()).hexdigest()
        # Another file of the same name and contents is another one.
        found[str(each.relative_to(path))] = (
            kind,
            stat.S_IMODE(status.st_mode),
            f"{status.st_ino} {contents}",
        )
    return found


def containers(*, running: bool = False) -> list[str]:
    """Return the Docker engine's containers, and its networks and volumes, a line for each.

    :param running: only containers that run.
    """
    every = [] if running else ["--all"]
    commands = [
        ["docker", "ps", *every, "--no-trunc", "--format", "container {{.ID}} {{.Names}} {{.Labels}}"],
    ]
    if not running:
        commands += [
            ["docker", "network", "ls", "--format", "network {{.ID}} {{.Name}} {{.Labels}}"],
            ["docker", "volume", "ls", "--format", "volume {{.Name}} {{.Labels}}"],
        ]
    found = []
    for command in commands:
        found += subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return found


_HERE = network_of(os.getpid())
