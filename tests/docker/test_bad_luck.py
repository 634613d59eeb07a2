"""The docker backend where something is missing, refused or taken away: an error with its code and cure, nothing left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from docker.errors import DockerException, ImageNotFound

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.docker.engine import engine_errors
from tests.backends import BACKENDS
from tests.conftest import UNDER_ONE_SPARK
from tests.docker.engine_proxy import EngineProxy, refusal
from tests.docker.registry import Registry
from tests.end_to_end.conftest import wait_for_end
from tests.engine import IMAGE, containers_of, engine, things_of

EXIT_NO_ENVIRONMENT = 75
ON_DOCKER = BACKENDS["docker"]
NO_SPACE = refusal(500, "mkdir /var/lib/docker/overlay2/x: no space left on device")
NO_ADDRESSES = refusal(
    404, "could not find an available, non-overlapping IPv4 address pool among the defaults to assign"
)
NO_PORT = refusal(500, "driver failed programming external connectivity: Bind for 127.0.0.1:1 failed")


@pytest.fixture
def suite(project):
    (project / "test_it.py").write_text("def test_it(spark):\n    assert spark.range(2).count() == 2\n")


def assert_refused(finished, code, *words):
    assert finished.code == EXIT_NO_ENVIRONMENT, finished.output
    for word in (f"{code}: ", "checked:", "to do:", *words):
        assert word in finished.output, finished.output
    assert "passed" not in finished.output
    assert "Traceback" not in finished.output


def test_no_library(suite, run_pytest, tmp_path):
    # It is found first, and has nothing in it.
    (tmp_path / "first" / "testcontainers").mkdir(parents=True)
    (tmp_path / "first" / "testcontainers" / "__init__.py").write_text("")
    finished = run_pytest(*ON_DOCKER, PYTHONPATH=str(tmp_path / "first"))
    assert_refused(finished, "IE501", "pip install 'pytest-isolated-emr[docker]'")


def test_no_connect_client(suite, run_pytest, tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hidden:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('grpc', 'grpc_status'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden)\n"
    )
    finished = run_pytest(*ON_DOCKER, PYTHONPATH=str(tmp_path / "first"))
    assert_refused(finished, "IE509", "grpc, grpc_status", "pip install 'pytest-isolated-emr[connect]'")


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("unix:///nowhere/docker.sock", "No container engine answers"),
        ("tcp://127.0.0.1:1", "engine"),
    ],
)
def test_no_engine(suite, run_pytest, home, where, words):
    assert_refused(run_pytest(*ON_DOCKER, DOCKER_HOST=where), "IE502", words, "DOCKER_HOST")
    assert list((home / "sessions").glob("*")) == []


def test_no_permission():
    # Root may open every socket, so this is what requests makes of a refusal, by hand.
    def refused():
        try:
            raise PermissionError(13, "Permission denied")
        except PermissionError as error:
            raise DockerException(f"Error while fetching server API version: {error}") from error

    with pytest.raises(errors.EngineForbidden, match="usermod"), engine_errors("connecting"):
        refused()


@pytest.fixture
def proxied(tmp_path):
    """Make a proxy of the engine, closed at the end."""
    made = []

    def make(fault):
        directory = Path(f"/tmp/engine-{os.getpid()}-{len(made)}")
        directory.mkdir()
        made.append((directory, EngineProxy(directory / "socket", fault)))
        return made[-1][1]

    yield make
    for directory, proxy in made:
        proxy.cut()
        (directory / "socket").unlink()
        directory.rmdir()


def test_too_old_an_engine(suite, run_pytest, proxied):
    body = json.dumps({"Version": "19.03.15", "ApiVersion": "1.40", "MinAPIVersion": "1.12"})
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    proxy = proxied(lambda method, path: answer.encode() if path.endswith("/version") else None)
    assert_refused(run_pytest(*ON_DOCKER, DOCKER_HOST=proxy.url), "IE504", "19.03.15", "1.41")


def test_an_image_that_is_nowhere(suite, run_pytest, home):
    arguments = (*ON_DOCKER[:-1], "--isolated-emr-image=127.0.0.1:1/no/such:image")
    assert_refused(run_pytest(*arguments), "IE506", "127.0.0.1:1/no/such:image", "isolated-emr image build")
    assert list((home / "sessions").glob("*")) == []


def test_a_pull_shows_how_far_it_is(suite, start_pytest):
    registry = Registry(4_000_000)
    name = f"{registry.address}/isolated-emr-test/pulled:{os.getpid()}"
    process = start_pytest(*ON_DOCKER[:-1], f"--isolated-emr-image={name}")
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            # The engine says more than once how far it is; half of it stays away until then.
            if re.search(r"pulling .*: \d of 4 MB", line):
                registry.go_on.set()
        output = "".join(lines)
        # It was pulled, and there is nothing in it to start.
        assert registry.go_on.is_set(), output
        assert engine().images.get(name)
        assert process.wait() == EXIT_NO_ENVIRONMENT
        assert "IE505" in output, output
    finally:
        registry.close()
        with contextlib.suppress(ImageNotFound):
            engine().images.remove(name, force=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_in_a_pull(suite, start_pytest, home, number):
    registry = Registry(4_000_000)
    name = f"{registry.address}/isolated-emr-test/halted:{os.getpid()}"
    process = start_pytest(*ON_DOCKER[:-1], f"--isolated-emr-image={name}")
    try:
        assert any("pulling" in line for line in process.stdout)
        (metadata,) = home.glob("sessions/*/session.json")
        keeper = json.loads(metadata.read_text())["keeper"]["pid"]
        process.send_signal(number)
        # The rest of the image never comes, and the keeper does not wait for it.
        wait_for_end(keeper)
        assert list(home.glob("sessions/*")) == []
        assert not registry.go_on.is_set()
    finally:
        registry.close()
    assert things_of(metadata.parent.name) == []


@pytest.fixture
def changed_image():
    """Make an image that differs from the one of the tests by what a command does in it."""
    name = f"isolated-emr-test:{os.getpid()}"

    def make(command):
        container = engine().containers.create(IMAGE, ["sh", "-c", command], labels={"isolated-emr-test": ""})
        try:
            container.start()
            assert container.wait()["StatusCode"] == 0
            container.commit(*name.split(":"))
        finally:
            container.remove(force=True)
        return (*ON_DOCKER[:-1], f"--isolated-emr-image={name}")

    yield make
    with contextlib.suppress(ImageNotFound):
        engine().images.remove(name, force=True)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("rm /usr/bin/python3*", "has no Python"),
        # No other Python is in the packages of the suite, so this one says that it is another.
        (
            "for f in /etc/python3.*/sitecustomize.py; do echo 'import sys; sys.version_info = (3, 9, 0)' >> $f; done",
            "The image has Python 3.9",
        ),
        ("rm -r /usr/lib/jvm", "The image has no Java"),
    ],
    ids=["no-python", "other-python", "no-java"],
)
def test_an_image_that_does_not_fit(suite, run_pytest, changed_image, command, words):
    # Before the first test.
    assert_refused(run_pytest(*changed_image(command)), "IE507", words)


@pytest.mark.parametrize(
    ("where", "answer", "words"),
    [
        ("/networks/create", NO_ADDRESSES, ("no range of addresses", "docker network ls")),
        ("/containers/create", NO_SPACE, ("disk is full", "docker system df")),
        ("/start", NO_PORT, ("driver failed programming external connectivity",)),
    ],
)
def test_what_the_engine_refuses(suite, run_pytest, home, proxied, where, answer, words):
    proxy = proxied(
        lambda method, path: answer if method == "POST" and path.partition("?")[0].endswith(where) else None
    )
    finished = run_pytest(*ON_DOCKER, DOCKER_HOST=proxy.url)
    assert_refused(finished, "IE505", *words)
    assert list((home / "sessions").glob("*/jvms")) == []
    run_id = (
        finished.output.partition(", run ")[2].split()[0].rstrip(",") if ", run " in finished.output else ""
    )
    assert not run_id or things_of(run_id) == []


MEMORY = """
import pytest
from pyspark.sql.functions import udf

def test_takes_too_much(spark):
    @udf("long")
    def big(x):
        return len(bytearray(2 * 2**30))
    spark.range(1).select(big("id")).collect()

def test_goes_on(spark):
    assert spark.range(2).count() == 2
"""


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_killed_for_memory(project, run_pytest):
    (project / "test_it.py").write_text(MEMORY)
    finished = run_pytest(*ON_DOCKER, "--isolated-emr-docker-memory=1500m")
    assert "1 failed, 1 passed" in finished.output, finished.output
    assert (
        "killed for memory: the container may take 1500 MiB (--isolated-emr-docker-memory)" in finished.output
    )


REMOVED = """
import docker, os

def test_uses_it(spark):
    assert spark.range(2).count() == 2

def test_loses_it(spark, isolated_emr):
    label = f"isolated-emr.run-id={isolated_emr.run_id}"
    (container,) = docker.from_env().containers.list(filters={"label": label})
    container.remove(force=True)
    spark.range(2).count()

def test_has_another(spark):
    assert spark.range(2).count() == 2
"""


@pytest.mark.spark
@UNDER_ONE_SPARK
def test_a_container_that_somebody_removes(project, run_pytest):
    (project / "test_it.py").write_text(REMOVED)
    finished = run_pytest(*ON_DOCKER)
    assert "1 failed, 2 passed" in finished.output, finished.output
    assert "IE205: Spark ended in this test: the container was removed by somebody" in finished.output


STOPPED = """
import os

def test_uses_it(spark, isolated_emr):
    assert spark.range(2).count() == 2
    with open(os.environ["TELL_PIPE"], "w") as pipe:
        pipe.write(isolated_emr.run_id)
    with open(os.environ["GO_ON"]) as pipe:
        pipe.read()

def test_says_so(spark): pass
"""


def test_an_engine_that_is_stopped_in_the_run(project, home, start_pytest, proxied, tmp_path):
    (project / "test_it.py").write_text(STOPPED)
    tell, go_on = tmp_path / "tell", tmp_path / "go-on"
    os.mkfifo(tell)
    os.mkfifo(go_on)
    proxy = proxied(lambda method, path: None)
    process = start_pytest(*ON_DOCKER, DOCKER_HOST=proxy.url, TELL_PIPE=str(tell), GO_ON=str(go_on))
    run_id = tell.read_text()
    proxy.cut()
    # As an engine that stops ends its containers.
    for container in containers_of(run_id):
        container.kill()
    go_on.write_text("")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    assert re.search(r"1 passed\b.* 1 error", output), output
    assert "IE502" in output
    # What could not be removed is on record, and the summary says how to remove it.
    assert "could not be removed: container" in output
    assert "isolated-emr sweep --delete" in output
    assert things_of(run_id) != []
    swept = subprocess.run(
        [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--delete"],
        env=os.environ | {"ISOLATED_EMR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert swept.returncode == 0, swept.stdout
    assert things_of(run_id) == []


@pytest.mark.parametrize("where", ["/networks/create", "/containers/create"])
def test_an_engine_that_answers_late(suite, run_pytest, home, proxied, where):
    """What it makes after it was given up is on record, and swept."""

    def late(method, path):
        if method == "POST" and path.partition("?")[0].endswith(where):
            # More than the client waits; the engine goes on all the same.
            time.sleep(8)
        return None

    proxy = proxied(late)
    (Path(home).parent / "impatient").mkdir()
    (Path(home).parent / "impatient" / "sitecustomize.py").write_text(
        "import docker.constants, docker.api.client, docker.client\n"
        "for module in (docker.constants, docker.api.client, docker.client):\n"
        "    module.DEFAULT_TIMEOUT_SECONDS = 4\n"
        "from pytest_isolated_emr.backends.docker.engine import Engine\n"
        "Engine.connect.__func__.__defaults__ = (4,)\n"
    )
    variables = {"PYTHONPATH": str(Path(home).parent / "impatient"), "DOCKER_HOST": proxy.url}
    finished = run_pytest(*ON_DOCKER, **variables)
    assert_refused(finished, "IE511")
    (session,) = home.glob("sessions/*")
    # It is there by now, or will be: the record stays until it is gone.
    until(lambda: things_of(session.name) != [])
    swept = subprocess.run(
        [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--delete"],
        env=os.environ | {"ISOLATED_EMR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert swept.returncode == 0, swept.stdout
    assert things_of(session.name) == []
    assert not session.exists()


def until(holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come true")
