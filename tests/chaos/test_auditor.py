"""The auditor sees each thing that it is there to see: a broken promise of each kind, made by hand."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.auditor import Auditor
from tests.chaos.place import FOREIGN, REAL_KEY, Place
from tests.chaos.plan import PLAIN, USUAL, Fault, Round, Run
from tests.chaos.started_run import StartedRun
from tests.chaos.strikes import Strike
from tests.chaos.verdict import violations_of_run
from tests.spares.by_spare import wait_for

# Nothing else on the machine has them, nor these tests in another process.
ONE, ANOTHER = f"20261123t211623-{os.getpid():06x}", f"20261123t211624-{os.getpid():06x}"
RUNS = tuple(Run(("test_slow",), ("--isolated-emr",)) for _ in range(2))
ROUND = Round(1, PLAIN, USUAL, RUNS, ())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    jars = tmp_path / "jars"
    jars.mkdir()
    directory = tmp_path / "round"
    directory.mkdir()
    place = Place(directory, ROUND, jars)
    place.make()
    return place


@pytest.fixture
def auditor(place: Place) -> Iterator[Auditor]:
    with Auditor(place, []) as auditor:
        yield auditor


@contextmanager
def process(place: Place, code: str = "", **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of the round until it is told to end."""
    environ = {"PATH": os.environ["PATH"], "ISOLATED_EMR_HOME": str(place.home), **variables}
    command = [
        sys.executable,
        "-c",
        f"import socket, sys\n{code}\nprint('there', flush=True)\nsys.stdin.read()",
    ]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"there\n"
        yield started
        assert started.stdin is not None
        started.stdin.close()


def wait_for_violation(auditor: Auditor, words: str) -> None:
    wait_for(lambda: any(words in each for each in auditor.violations()), f"{words!r} is seen")


def make_session(place: Place, run_id: str) -> Path:
    directory = place.home / "sessions" / run_id
    directory.mkdir(mode=0o700)
    return directory


def test_all_is_well(place: Place, auditor: Auditor):
    make_session(place, ONE)
    with process(place, "socket.create_server(('127.0.0.1', 0))", RUN_ID=ONE), process(place, RUN_ID=ANOTHER):
        assert auditor.left_of({ONE}, only_what_acts=True) != []
    (place.home / "sessions" / ONE).rmdir()
    assert auditor.left_of({ONE}, only_what_acts=False) == []
    assert (auditor.left(), auditor.changed(), auditor.violations()) == ([], [], [])


def test_a_process_with_another_sessions_files(place: Place, auditor: Auditor):
    file = make_session(place, ANOTHER) / "file"
    file.touch()
    with process(place, f"kept = open({str(file)!r})", RUN_ID=ONE):
        wait_for_violation(auditor, f"has to do with the sessions ['{ONE}', '{ANOTHER}']")


def test_a_port_of_two_sessions(place: Place, auditor: Auditor):
    make_session(place, ONE)
    code = (
        "kept = socket.socket(); kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "kept.bind(('127.0.0.1', {port})); kept.listen()"
    )
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind(("127.0.0.1", 0))
        taken = code.format(port=found.getsockname()[1])
        with process(place, taken, RUN_ID=ONE), process(place, taken, RUN_ID=ANOTHER):
            wait_for_violation(auditor, "shared: port")


def test_a_port_that_others_reach(place: Place, auditor: Auditor):
    with process(place, "kept = socket.create_server(('', 0))", RUN_ID=ONE):
        wait_for_violation(auditor, "not on loopback")


def test_the_machines_own_key(place: Place, auditor: Auditor):
    with process(place, RUN_ID=ONE, AWS_ACCESS_KEY_ID=REAL_KEY):
        wait_for_violation(auditor, "was started with the machine's own key")


class _Takes(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


def test_an_endpoint_that_takes_anybodys_key(place: Place, monkeypatch: pytest.MonkeyPatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    runs = [StartedRun(number, run, place) for number, run in enumerate(RUNS)]
    for run, run_id in zip(runs, (ONE, ANOTHER), strict=True):
        monkeypatch.setattr(run, "_started", threading.Event())
        run._started.set()
        facts = {
            "what": "test",
            "run_id": run_id,
            "endpoint_url": url,
            "access_key_id": run_id,
            "pid": os.getpid(),
        }
        (place.told(run.number) / "test-1.json").write_text(json.dumps(facts))
    monkeypatch.setattr(StartedRun, "pid", -1)
    try:
        with Auditor(place, runs) as auditor:
            wait_for_violation(auditor, f"{ONE} answered {ANOTHER}'s key '{ANOTHER}' with 200")
            wait_for_violation(auditor, f"{ONE} answered {ONE}'s key '' with 200")
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_left(place: Place, auditor: Auditor):
    make_session(place, ONE)
    (place.temporary / "spark-1").mkdir()
    with process(place, RUN_ID=ONE) as left:
        found = "\n".join(auditor.left())
        assert f"left: process {left.pid} " in found
        assert f"left: directory {ONE}" in found
        assert "left: temporary file spark-1" in found
        assert FOREIGN not in found


def _touch_inside(path: Path) -> None:
    (path / "metastore_db").mkdir()


def _change(path: Path) -> None:
    (path / "file").write_text("changed")


def _remove(path: Path) -> None:
    (path / "file").unlink()


def _put_another_there(path: Path) -> None:
    text = (path / "file").read_text()
    (path / "new").write_text(text)
    (path / "new").rename(path / "file")


@pytest.mark.parametrize(
    ("what", "where", "words"),
    [
        (_touch_inside, "project-0", "project-0/metastore_db is new"),
        (_touch_inside, "user", "user/metastore_db is new"),
        (_change, "outside", "outside/file has changed"),
        (_remove, "outside", "outside/file is gone"),
        (_put_another_there, "outside", "outside/file has changed"),
        (_remove, f"home/sessions/{FOREIGN}", f"{FOREIGN}/file is gone"),
    ],
)
def test_what_nobody_may_touch(
    place: Place, auditor: Auditor, what: Callable[[Path], None], where: str, words: str
):
    what(place.directory / where)
    assert f"touched: {words}" in auditor.changed()


def ended(place: Place, code: int, output: str, run: Run = RUNS[0]) -> StartedRun:
    started = StartedRun(0, run, place)
    started.code = code
    place.output(0).write_text(output)
    return started


def struck(what: str, role: str) -> Strike:
    return Strike(Fault(what, 0, role, "test", 0.0), role, "", 0.0)


@pytest.mark.parametrize(
    ("code", "output", "strikes", "words"),
    [
        (0, "1 passed", [], ""),
        (1, "1 failed", [], "nothing that befell it may fail it"),
        (0, "no tests ran", [], "nothing that befell it may fail it"),
        (0, "1 passed, 1 skipped", [], "a test was skipped"),
        (1, "IE202: the keeper is gone", [struck("kill -9", "keeper")], ""),
        (1, "AssertionError", [struck("kill -9", "keeper")], "says nothing that is of use"),
        (1, "IE202: the keeper is gone", [struck("SIGTERM", "keeper")], "nothing that befell it may fail it"),
        (
            1,
            "IE203: gone",
            [struck("SIGSTOP, then SIGCONT", "endpoint")],
            "nothing that befell it may fail it",
        ),
        (3, "INTERNALERROR> IE202", [struck("kill -9", "keeper")], "no words for users: INTERNALERROR"),
        (-9, "", [struck("kill -9", "pytest")], ""),
        (-9, "", [struck("kill -9", "endpoint")], "it ended with -9"),
        (1, "IE203: gone", [struck("journal clipped", "file")], "nothing that befell it may fail it"),
    ],
)
def test_how_a_run_may_end(place: Place, code: int, output: str, strikes: list[Strike], words: str):
    found = violations_of_run(ended(place, code, output), ROUND, strikes)
    assert any(words in each for each in found) if words else found == []


def test_a_run_without_the_option_is_as_ever(place: Place):
    off = Run(("test_off",))
    assert violations_of_run(ended(place, 0, "1 passed", off), ROUND, []) == []
    assert "ended with 1" in violations_of_run(ended(place, 1, "1 failed", off), ROUND, [])[0]
    assert "said something" in violations_of_run(ended(place, 0, "isolated-emr: local", off), ROUND, [])[0]
