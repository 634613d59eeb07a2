"""Promise 3: if what cleans is killed as well, what is left is inert, and the next session removes it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.backends import BACKENDS
from tests.emr_backend.runs import run_id_of

from .conftest import wait_for_end

WAITING = """
import os
from tell import tell, wait_for_ever

def test_waits(isolated_emr, request):
    run = request.config.pluginmanager.get_plugin("isolated_emr_run")
    # The JVM is there when the keeper dies.
    isolated_emr._session.client.request("spark_gateway")
    import psutil
    (keeper,) = [p for p in psutil.Process().children() if "pytest_isolated_emr.keeper" in p.cmdline()]
    children = {f"child-{p.pid}": p.pid for p in keeper.children(recursive=True)}
    assert len(children) >= 2
    tell(isolated_emr, **children)
    wait_for_ever()
"""


@pytest.fixture
def orphaned(project, tmp_path, start_pytest, told, home):
    """A session whose keeper and pytest were killed together."""
    (project / "test_it.py").write_text(WAITING)
    process = start_pytest("--isolated-emr", TELL_PIPE=str(tmp_path / "tell"))
    seen = told()
    os.kill(seen.pids["keeper"], signal.SIGKILL)
    process.kill()
    process.wait()
    return seen


def sweep(home, *arguments, **variables):
    command = [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", *arguments]
    environ = os.environ | {"ISOLATED_EMR_HOME": str(home)} | variables
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)


def test_what_a_killed_keeper_leaves_is_inert_and_swept(orphaned, home):
    for name, pid in orphaned.pids.items():
        if name.startswith("child-"):
            wait_for_end(pid)
    orphaned.assert_port_free()
    assert orphaned.directory.exists()

    dry = sweep(home)
    assert dry.returncode == 0, dry.stderr
    assert orphaned.run_id in dry.stdout
    assert orphaned.directory.exists()

    assert sweep(home, "--delete").returncode == 0
    orphaned.assert_gone()


def test_the_next_session_sweeps_and_leaves_a_live_one_alone(orphaned, project, tmp_path, start_pytest, told):
    (project / "test_it.py").write_text(
        "from tell import tell, wait_for_ever\n"
        "def test_waits(isolated_emr):\n    tell(isolated_emr)\n    wait_for_ever()\n"
    )
    live = start_pytest("--isolated-emr", TELL_PIPE=str(tmp_path / "tell"))
    seen = told()
    (project / "test_it.py").write_text(
        "import os, pathlib\n"
        "from tell import tell\n"
        "def test_waits_for_the_sweep(isolated_emr):\n"
        "    # Bounded, since the sweep runs beside the tests.\n"
        "    left = pathlib.Path(os.environ['LEFT'])\n"
        "    import select\n"
        "    for _ in range(600):\n"
        "        if not left.exists(): break\n"
        "        select.select([], [], [], 0.1)\n"
        "    assert not left.exists()\n"
        "    tell(isolated_emr)\n"
    )
    next_one = start_pytest("--isolated-emr", TELL_PIPE=str(tmp_path / "tell"), LEFT=str(orphaned.directory))
    told().wait_until_gone()
    assert next_one.wait() == 0
    assert seen.directory.exists()
    assert live.poll() is None
    live.kill()
    seen.wait_until_gone()


@pytest.mark.parametrize("backend", ["local", "emr"])
def test_a_killed_keeper_fails_tests_with_its_log_and_no_hang(project, run_pytest, home, request, backend):
    (project / "test_it.py").write_text(
        "import os, signal, json\n"
        "def test_kills(isolated_emr, spark):\n"
        "    keeper = json.loads((isolated_emr._session.directory / 'session.json').read_text())['keeper']['pid']\n"
        "    os.kill(keeper, signal.SIGKILL)\n"
        "def test_after(spark): spark.range(1).count()\n"
    )
    finished = run_pytest(*BACKENDS[backend])
    assert finished.code == 1
    assert "IE202" in finished.output
    assert re.search("1 passed.* 1 error", finished.output), finished.output
    if backend == "emr":
        amazon = request.getfixturevalue("amazon")
        run_id = run_id_of(finished)
        assert amazon.things_of(run_id) != []
        assert sweep(home, "--delete", **amazon.variables).returncode == 0
        assert amazon.things_of(run_id) == []


def test_a_killed_endpoint_is_named_where_a_test_fails_for_it(project, run_pytest):
    (project / "test_it.py").write_text(
        "import psutil\n"
        "def test_kills(isolated_emr, s3):\n"
        "    (endpoint,) = [p for p in psutil.Process().children(recursive=True)\n"
        "                   if 'pytest_isolated_emr.aws.endpoint' in p.cmdline()]\n"
        "    endpoint.kill()\n"
        "    s3.list_buckets()\n"
        "def test_needs_none(): pass\n"
        "def test_fails_by_itself(): assert False\n"
    )
    finished = run_pytest("--isolated-emr")
    assert finished.code == 1
    assert "2 failed, 1 passed" in finished.output, finished.output
    assert "IE203: The private AWS endpoint has ended." in finished.output
