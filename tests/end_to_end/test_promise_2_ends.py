"""Promise 2: however pytest ends, what the session owned is gone within seconds, with nobody's help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends import BACKENDS
from tests.conftest import Finished, Run, Start, environ_of_run
from tests.emr_backend.answers import LongEnd
from tests.emr_backend.aws_proxy import AwsProxy

from .conftest import Seen, wait_for_end

# Its JVM comes up, or is up, when the blow falls; on AWS its cluster is up.
WAITING = """
from tell import tell, wait_for_ever

def test_waits(isolated_emr, scratch, request):
    if isolated_emr.backend == "emr":
        request.getfixturevalue("emr_cluster")
    tell(isolated_emr)
    wait_for_ever()
"""

WORKING = """
from tell import tell, wait_for_ever

def test_waits(isolated_emr, spark, scratch):
    assert spark.range(3).count() == 3
    spark.range(3).write.parquet((scratch / "t").uri)
    tell(isolated_emr)
    wait_for_ever()
"""


@pytest.fixture
def pipe(tmp_path: Path, told: Callable[[], Seen]) -> dict[str, str]:
    return {"TELL_PIPE": str(tmp_path / "tell")}


def test_after_a_normal_end_nothing_is_left(
    project: Path, home: Path, run_pytest: Run, told: Callable[[], Seen], pipe, on_backend
):
    (project / "test_it.py").write_text(WORKING.replace("    wait_for_ever()", ""))
    run_pytest(*on_backend, **pipe).assert_passed(1)
    told().assert_gone()
    assert list((home / "sessions").iterdir()) == []


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        pytest.param([signal.SIGINT], 2, id="ctrl-c"),
        pytest.param([signal.SIGINT, signal.SIGINT], 2, id="ctrl-c-twice"),
        pytest.param([signal.SIGTERM], -signal.SIGTERM, id="sigterm"),
        pytest.param([signal.SIGKILL], -signal.SIGKILL, id="sigkill"),
    ],
)
def test_killed_in_a_test(project, start_pytest: Start, told, pipe, signals, code, on_backend):
    (project / "test_it.py").write_text(WORKING if signals == [signal.SIGKILL] else WAITING)
    process = start_pytest(*on_backend, **pipe)
    seen = told()
    for number in signals:
        # As in a terminal: the whole group gets it.
        os.killpg(process.pid, number)
    finished = Finished(process)
    # A second Ctrl-C may come before or after pytest has left the first one's handling.
    assert finished.code == code or len(signals) == 2, finished.output
    seen.wait_until_gone()


#: What a cancelled job is sent, and how long it has until the next: docs/emr-ci.md.
CANCEL = [(signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 0)]


def test_cancelled_as_ci_does_it(project, home, start_pytest: Start, told, pipe, amazon):
    """Its cluster takes longer to end than pytest has, as those of AWS do."""

    def sessions_that_work() -> list[str]:
        command = [sys.executable, "-m", "pytest_isolated_emr.cli", "ps", "--json"]
        shown = subprocess.run(command, env=environ_of_run(home), check=True, capture_output=True)
        return [each["run_id"] for each in json.loads(shown.stdout)]

    (project / "test_it.py").write_text(WORKING)
    end = LongEnd()
    with AwsProxy(amazon.variables["AWS_ENDPOINT_URL"], changes=[end]) as proxy:
        process = start_pytest(*BACKENDS["emr"], **pipe, AWS_ENDPOINT_URL=proxy.url)
        seen = told()
        for number, seconds in CANCEL:
            os.killpg(process.pid, number)
            time.sleep(seconds)
        assert Finished(process).code == -signal.SIGTERM
        # It is what the recipe's last step waits for.
        assert sessions_that_work() == [seen.run_id]
        end.has_come.set()
        seen.wait_until_gone()
    assert sessions_that_work() == []
    assert [each["Status"]["State"] for each in amazon.clusters_of(seen.run_id)] == ["TERMINATED"]


def test_killed_while_collecting(project, start_pytest, told, pipe, on_backend):
    name = next(name for name, arguments in BACKENDS.items() if arguments == on_backend)
    port = "None" if name == "emr" else "urlsplit(os.environ['AWS_ENDPOINT_URL']).port"
    (project / "conftest.py").write_text(
        "import os, json, boto3\n"
        "from pathlib import Path\n"
        "from urllib.parse import urlsplit\n"
        "directory = Path(os.environ['ISOLATED_EMR_SESSION'].partition(':')[2])\n"
        "keeper = json.loads((directory / 'session.json').read_text())['keeper']['pid']\n"
        "facts = {'run_id': directory.name, 'directory': str(directory), 'pids': {'keeper': keeper},\n"
        f"         'backend': {name!r},\n"
        f"         'port': {port}}}\n"
        "def pytest_collection_modifyitems():\n"
        "    Path(os.environ['TELL_PIPE']).write_text(json.dumps(facts))\n"
        "    os.read(os.pipe()[0], 1)\n"
    )
    (project / "test_it.py").write_text("def test_it(): pass\n")
    process = start_pytest(*on_backend, **pipe)
    seen = told()
    process.kill()
    seen.wait_until_gone()


#: Where all of a session is on this machine, and where most of it is not.
HERE_AND_ON_AWS = pytest.mark.parametrize("backend", ["local", "emr"])


@HERE_AND_ON_AWS
def test_killed_in_teardown(project, start_pytest, told, pipe, backend):
    (project / "test_it.py").write_text(
        "import pytest\n"
        "from tell import tell, wait_for_ever\n"
        "@pytest.fixture\n"
        "def late(isolated_emr, request):\n"
        "    if isolated_emr.backend == 'emr':\n"
        "        request.getfixturevalue('emr_cluster')\n"
        "    yield\n"
        "    tell(isolated_emr)\n"
        "    wait_for_ever()\n"
        "def test_it(late): pass\n"
    )
    process = start_pytest(*BACKENDS[backend], **pipe)
    seen = told()
    process.kill()
    seen.wait_until_gone()


FORKING = """
import multiprocessing, os, subprocess, sys
from tell import tell, wait_for_ever

def test_forks(isolated_emr, request):
    if isolated_emr.backend == "emr":
        # Its client of Spark Connect has threads and connections, which a child has too.
        assert request.getfixturevalue("spark").range(3).count() == 3
    if HOW == "fork":
        child = os.fork()
        if not child:
            wait_for_ever()
    elif HOW == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=wait_for_ever)
        process.start()
        child = process.pid
    else:
        code = "import os; os.read(os.pipe()[0], 1)"
        child = subprocess.Popen([sys.executable, "-c", code], close_fds=False).pid
    tell(isolated_emr, child=child)
    wait_for_ever()
"""


@pytest.mark.parametrize(
    ("how", "backend"),
    [("fork", "local"), ("fork", "emr"), ("multiprocessing", "local"), ("subprocess", "local")],
)
def test_a_child_that_lives_on_does_not_hold_the_session(project, start_pytest, told, pipe, how, backend):
    (project / "test_it.py").write_text(f"HOW = {how!r}\n{FORKING}")
    process = start_pytest(*BACKENDS[backend], **pipe)
    seen = told()
    process.kill()
    try:
        seen.wait_until_gone()
        # The child is the user's: it is not ended, and still it held nothing.
        os.kill(seen.pids["child"], 0)
    finally:
        os.kill(seen.pids["child"], signal.SIGKILL)


KILLED_WORKER = """
import os, select, signal

def test_dies(spark):
    assert spark.range(2).count() == 2
    os.kill(os.getpid(), signal.SIGKILL)

def test_lives(isolated_emr, spark, request):
    assert spark.range(2).count() == 2
    if isolated_emr.backend == "emr":
        of_cluster = {"ClusterId": request.getfixturevalue("emr_cluster")}
        emr = isolated_emr.client("emr")
        # Bounded, since the dead worker's Spark is ended beside the tests.
        for _ in range(600):
            sessions = emr.list_sessions(**of_cluster)["Sessions"]
            if len([each for each in sessions if each["State"] in ("IDLE", "BUSY")]) == 1: break
            select.select([], [], [], 0.1)
        assert sorted(each["State"] for each in sessions)[-1] == "TERMINATED", sessions
        assert len(sessions) == 2
"""


@HERE_AND_ON_AWS
def test_a_killed_xdist_worker_leaves_nothing_and_the_run_goes_on(
    project, run_pytest, home, told, pipe, backend
):
    (project / "test_it.py").write_text(KILLED_WORKER)
    finished = run_pytest(*BACKENDS[backend], "-n", "1", **pipe)
    assert finished.code == 1
    assert "1 failed, 1 passed" in finished.output, finished.output
    assert list((home / "sessions").glob("*/jvms")) == []


def test_a_killed_xdist_controller_takes_its_workers_environment_along(
    project, start_pytest, told, pipe, on_backend
):
    (project / "test_it.py").write_text(WAITING)
    process = start_pytest(*on_backend, "-n", "1", **pipe)
    seen = told()
    process.kill()
    seen.wait_until_gone()
    wait_for_end(seen.pids["test"])


#: Removes a file in a fiftieth of a second, as a disk of the network may.
SLOW_REMOVAL = ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=unlinkat",
                "-e", "inject=unlinkat:delay_enter=20ms")  # fmt: skip


def test_very_many_files_hold_neither_the_next_test_nor_pytest(project, home, tmp_path, told):
    (project / "test_it.py").write_text(
        "from tell import tell\n"
        "def test_leaves(scratch):\n"
        "    for number in range(400):\n"
        "        (scratch.path / str(number)).touch()\n"
        "def test_next(isolated_emr):\n"
        "    tell(isolated_emr)\n"
    )
    environ = environ_of_run(home) | {"TELL_PIPE": str(tmp_path / "tell")}
    command = [*SLOW_REMOVAL, sys.executable, "-m", "pytest", "--isolated-emr"]
    # No pipe, which strace holds open until all that it traces has ended.
    with (tmp_path / "output").open("w+") as output:
        finished = subprocess.run(command, cwd=project, env=environ, stdout=output, stderr=output)
        output.seek(0)
        said = output.read()
    assert finished.returncode == 0, said
    assert "are being removed after the end of this run" in said
    seen = told()
    assert seen.directory.exists()
    seen.wait_until_gone()


def test_the_keeper_takes_away_without_turning_in_circles(project, home, tmp_path, told):
    """A loop that wakes up all the time takes a core from the other runs, for minutes where a cluster has to end."""
    (project / "test_it.py").write_text(
        "from tell import tell, wait_for_ever\n"
        "def test_leaves(isolated_emr, scratch):\n"
        "    for number in range(100):\n"
        "        (scratch.path / str(number)).touch()\n"
        "    tell(isolated_emr)\n"
        "    wait_for_ever()\n"
    )
    calls = tmp_path / "calls"
    traced = [*SLOW_REMOVAL, "-o", str(calls), "-e", "trace=unlinkat,epoll_wait"]
    environ = environ_of_run(home) | {"TELL_PIPE": str(tmp_path / "tell")}
    with (tmp_path / "output").open("w") as output:
        run = subprocess.Popen(
            [*traced, sys.executable, "-m", "pytest", "--isolated-emr"],
            cwd=project,
            env=environ,
            stdout=output,
            stderr=output,
        )
        seen = told()
        run.kill()
        run.wait()
    seen.wait_until_gone()
    of_keeper = [
        line for line in calls.read_text().splitlines() if line.startswith(f"{seen.pids['keeper']} ")
    ]
    waits = [line for line in of_keeper if "epoll_wait" in line]
    # Some tens: for its children, its clients and its threads.
    assert 0 < len(waits) < 500
