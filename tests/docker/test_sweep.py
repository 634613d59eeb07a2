"""What killed sessions leave in the engine goes with the next sweep, and nothing of anybody else's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_isolated_emr.backends.docker.names import RUN_ID_LABEL
from pytest_isolated_emr.lifecycle.host import boot_id, this_host
from pytest_isolated_emr.lifecycle.processes import ProcessIdentity
from pytest_isolated_emr.lifecycle.session_directory import SessionDirectory, SessionMetadata
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from tests.backends import BACKENDS
from tests.end_to_end.conftest import told, wait_for_end  # noqa: F401 - a fixture
from tests.engine import IMAGE, containers_of, engine, things_of

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


def make_session(home: Path, run_id: str) -> SessionDirectory:
    """Make a session's directory, locked by this process until it is released."""
    root = StateRoot(home)
    root.open()
    directory = SessionDirectory.create(root, run_id)
    # Of a keeper with a pid that none ever has.
    metadata = SessionMetadata(
        run_id=run_id,
        host=this_host(),
        boot_id=boot_id(),
        uid=os.getuid(),
        keeper=ProcessIdentity(boot_id(), 2**30, started=1),
        started="2026-01-01T00:00:00+00:00",
        cwd="/",
        command=[],
        backend="docker",
        versions={},
    )
    directory.write_metadata(metadata)
    return directory


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
    live = make_session(home, "20260101t000000-aaaaaa")
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
    dead = make_session(home, "20260101t000000-bbbbbb")
    of_engine = engine().info()["ID"]
    for kind, name in (
        ("container", "isolated-emr-test-foreign"),
        ("network", "isolated-emr-test-foreign-net"),
    ):
        dead.journal.created(dead.journal.intend(kind, name, engine=of_engine))
    dead.release()
    swept = sweep(home, "--delete", "--json")
    assert swept.returncode == 1, swept.stdout
    (failed,) = json.loads(swept.stdout)["failed"]
    assert len(failed["problems"]) == 2
    for problem in failed["problems"]:
        assert "its labels do not say that it is of 20260101t000000-bbbbbb" in problem
    assert engine().containers.get("isolated-emr-test-foreign").status == "running"


def test_another_engine_than_that_of_the_session(home):
    dead = make_session(home, "20260101t000000-cccccc")
    dead.journal.created(dead.journal.intend("container", "isolated-emr-somewhere-else", engine="another"))
    dead.release()
    swept = sweep(home, "--delete", "--json")
    assert swept.returncode == 1, swept.stdout
    (failed,) = json.loads(swept.stdout)["failed"]
    assert "not the one that it was made on" in failed["problems"][0]
    # It waits for the right one.
    assert (home / "sessions" / "20260101t000000-cccccc" / "journal").exists()
