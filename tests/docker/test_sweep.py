"""What killed sessions leave in the engine goes with the next sweep, and nothing of anybody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pytest_isolated_emr.backends.docker.names import RUN_ID_LABEL
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from tests.end_to_end.conftest import told, wait_for_end  # noqa: F401 - a fixture
from tests.engine import BACKENDS, IMAGE, containers_of, engine, things_of

ON_DOCKER = BACKENDS["docker"]
WAITING = """
from tell import tell, wait_for_ever

def test_waits(isolated_emr, spark):
    assert spark.range(2).count() == 2
    tell(isolated_emr)
    wait_for_ever()
"""


def sweep(home, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", *arguments],
        env=os.environ | {"ISOLATED_EMR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def bystanders():
    """Make containers and networks of others; all must be there at the end."""
    made = []

    def make(name, labels):
        container = engine().containers.create(IMAGE, ["sleep", "600"], name=name, labels=labels)
        made.append(container)
        container.start()
        network = engine().networks.create(f"{name}-net", labels=labels)
        made.append(network)

    yield make
    problems = []
    for thing in made:
        try:
            thing.reload()
        except Exception as error:  # noqa: BLE001 - all the others are removed before this one's absence is told
            problems.append(error)
            continue
        thing.remove(**({"force": True} if thing in made[::2] else {}))
    assert problems == []


@pytest.fixture
def killed(project, tmp_path, start_pytest, told, home, request):  # noqa: F811
    """A session of which what was named was killed: pytest, its keeper, or both."""
    (project / "test_it.py").write_text(WAITING)
    process = start_pytest(*ON_DOCKER, TELL_PIPE=str(tmp_path / "tell"))
    seen = told()
    if "keeper" in request.param:
        os.kill(seen.pids["keeper"], signal.SIGKILL)
    if "pytest" in request.param:
        process.kill()
        process.wait()
    return seen


@pytest.mark.parametrize("killed", [("keeper",), ("keeper", "pytest")], ids=str, indirect=True)
def test_a_killed_keepers_containers_are_inert_and_swept(killed, home, bystanders, start_pytest, project):
    (container,) = containers_of(killed.run_id)
    # Its first process reads the end of its input.
    container.wait(timeout=60)
    # Names that begin the same, and the labels of a session that lives.
    root = StateRoot(home)
    live = SessionDirectory.create(root, "20260101t000000-aaaaaa")
    try:
        bystanders(f"isolated-emr-{killed.run_id}-of-somebody", {})
        bystanders("isolated-emr-live", {RUN_ID_LABEL: live.run_id})
        dry = sweep(home)
        assert killed.run_id in dry.stdout, dry.stdout + dry.stderr
        assert [thing.name for thing in containers_of(killed.run_id)] == [container.name]
        swept = sweep(home, "--delete")
        assert swept.returncode == 0, swept.stdout + swept.stderr
        assert containers_of(killed.run_id) == []
        mine = [thing for thing in things_of(killed.run_id) if "of-somebody" not in thing]
        assert mine == []
        assert not killed.directory.exists()
    finally:
        live.remove(keep=False)
        live.release()


def test_a_journal_that_names_what_is_not_its_sessions(home, bystanders):
    bystanders("isolated-emr-test-foreign", {})
    root = StateRoot(home)
    dead = SessionDirectory.create(root, "20260101t000000-bbbbbb")
    for kind, name in (
        ("container", "isolated-emr-test-foreign"),
        ("network", "isolated-emr-test-foreign-net"),
    ):
        dead.journal.created(dead.journal.intend(kind, name))
    dead.release()
    swept = sweep(home, "--delete")
    assert swept.returncode == 1, swept.stdout
    assert "do not" in swept.stdout
    assert engine().containers.get("isolated-emr-test-foreign").status == "running"
