"""Promise 2: however pytest ends, what the session owned is gone within seconds, with nobody's help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends import BACKENDS
from tests.conftest import Finished, Run, Start, environ_of_run

from .conftest import Seen, wait_for_end

# Its JVM comes up, or is up, when the blow falls.
WAITING = """
from tell import tell, wait_for_ever

def test_waits(isolated_emr, scratch):
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


def test_killed_in_teardown(project, start_pytest, told, pipe):
    (project / "test_it.py").write_text(
        "import pytest\n"
        "from tell import tell, wait_for_ever\n"
        "@pytest.fixture\n"
        "def late(isolated_emr):\n"
        "    yield\n"
        "    tell(isolated_emr)\n"
        "    wait_for_ever()\n"
        "def test_it(late): pass\n"
    )
    process = start_pytest("--isolated-emr", **pipe)
    seen = told()
    process.kill()
    seen.wait_until_gone()


FORKING = """
import multiprocessing, os, subprocess, sys
from tell import tell, wait_for_ever

def test_forks(isolated_emr):
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


@pytest.mark.parametrize("how", ["fork", "multiprocessing", "subprocess"])
def test_a_child_that_lives_on_does_not_hold_the_session(project, start_pytest, told, pipe, how):
    (project / "test_it.py").write_text(f"HOW = {how!r}\n{FORKING}")
    process = start_pytest("--isolated-emr", **pipe)
    seen = told()
    process.kill()
    try:
        seen.wait_until_gone()
        # The child is the user's: it is not ended, and still it held nothing.
        os.kill(seen.pids["child"], 0)
    finally:
        os.kill(seen.pids["child"], signal.SIGKILL)


def test_a_killed_xdist_worker_leaves_nothing_and_the_run_goes_on(project, run_pytest, home, told, pipe):
    (project / "test_it.py").write_text(
        "import os, signal\n"
        "def test_dies():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "def test_lives(spark):\n"
        "    assert spark.range(2).count() == 2\n"
    )
    finished = run_pytest("--isolated-emr", "-n", "1", **pipe)
    assert finished.code == 1
    assert "1 failed, 1 passed" in finished.output
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
