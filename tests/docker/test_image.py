"""``isolated-emr image build``, with the real engine and Debian's real packages."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import psutil
import pytest
from testcontainers.core.docker_client import DockerClient

from pytest_isolated_emr.backends.docker.debian import SUITES
from tests.engine import IMAGE

SUITE = next(suite for suite in SUITES if sys.version_info[:2] == tuple(map(int, suite.python.split("."))))
# What this machine runs may take a while, and a mirror too.
TIMEOUT = 600
COMMAND = [sys.executable, "-m", "pytest_isolated_emr.cli", "image", "build"]

# Modules that Python has on Windows alone, and those that draw windows.
NOT_HERE = {
    "_msi",
    "_overlapped",
    "_scproxy",
    "_winapi",
    "_wmi",
    "msilib",
    "msvcrt",
    "nt",
    "winreg",
    "winsound",
}
NOT_HERE |= {"_tkinter", "idlelib", "tkinter", "turtle", "turtledemo"}
# Importing these opens a browser and prints a poem.
NOT_IMPORTED = {"antigravity", "this"}
IMPORT_ALL = """
import importlib, json, sys
failed = []
for name in sorted(sys.stdlib_module_names - set(sys.argv[1:])):
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f"{name}: {error}")
print(json.dumps(failed))
"""


@pytest.fixture(scope="session")
def client() -> docker.DockerClient:
    return DockerClient().client


def remove_image(client: docker.DockerClient, tag: str) -> None:
    try:
        client.images.remove(tag)
    except docker.errors.ImageNotFound:
        return


@pytest.fixture(scope="session")
def image() -> str:
    """The tag of the image that `make test` builds."""
    return IMAGE


Inside = Callable[..., str]


@pytest.fixture
def inside(client: docker.DockerClient, image: str) -> Inside:
    """Run a command in a container of the image and return what it printed."""

    def run(*command: str, **options: object) -> str:
        output: bytes = client.containers.run(
            image, list(command), network_mode="none", remove=True, stderr=True, **options
        )
        return output.decode()

    return run


@pytest.fixture
def tag(client: docker.DockerClient) -> Iterator[str]:
    """A name that no image has."""
    tag = f"isolated-emr-test:{secrets.token_hex(6)}"
    yield tag
    remove_image(client, tag)


class Build:
    """A build with a temporary directory of its own."""

    def __init__(self, client: docker.DockerClient, directory: Path, tag: str) -> None:
        self.tag = tag
        self._client = client
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self._images = self._untagged()

    def start(self, *options: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, "--tag", self.tag, *options],
            env=os.environ | {"TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str, **variables: str) -> tuple[int, str]:
        process = self.start(*options, **variables)
        output = process.communicate(timeout=TIMEOUT)[0]
        return process.returncode, output

    def assert_nothing_left(self) -> None:
        with pytest.raises(docker.errors.ImageNotFound):
            self._client.images.get(self.tag)
        # Another worker's image has no name yet for a moment.
        deadline = time.monotonic() + TIMEOUT
        while not self._untagged() <= self._images:
            assert time.monotonic() < deadline, self._untagged() - self._images
            time.sleep(0.2)
        assert list(self.temporary.iterdir()) == []
        self.assert_nothing_runs()

    def assert_nothing_runs(self) -> None:
        """Wait until nothing of the build runs, and see that nothing is mounted."""
        deadline = time.monotonic() + TIMEOUT
        while running := [process for process in psutil.process_iter() if self._is_ours(process)]:
            assert time.monotonic() < deadline, running
            time.sleep(0.2)
        assert str(self.temporary) not in Path("/proc/mounts").read_text()

    def _untagged(self) -> set[str]:
        images = self._client.images.list(filters={"dangling": True, "label": "isolated-emr.made-by"})
        return {image.id for image in images}

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("TMPDIR", "").startswith(str(self.temporary))
        except psutil.Error:
            return False


@pytest.fixture
def build(client: docker.DockerClient, tmp_path: Path, tag: str) -> Build:
    return Build(client, tmp_path, tag)


def program(directory: Path, script: str) -> str:
    """A PATH on which another program takes mmdebstrap's place."""
    path = directory / "bin" / "mmdebstrap"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{script}")
    path.chmod(0o755)
    return f"{path.parent}{os.pathsep}{os.environ['PATH']}"


TAR = "import io, sys, tarfile\ntarfile.open(fileobj=sys.stdout.buffer, mode='w|').close()\n"


@pytest.fixture(scope="session")
def quick_path(client: docker.DockerClient, image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH whose mmdebstrap gives the system that the real one made for these tests."""
    directory = tmp_path_factory.mktemp("quick")
    container = client.containers.create(image)
    try:
        with open(directory / "system.tar", "wb") as tar:
            tar.writelines(container.export())
    finally:
        container.remove()
    script = f"""
import shutil, sys
print("I: creating tarball...", file=sys.stderr, flush=True)
with open({str(directory / "system.tar")!r}, "rb") as tar:
    shutil.copyfileobj(tar, sys.stdout.buffer)
"""
    return program(directory, script)


def test_python_is_there_in_full(inside: Inside):
    version = inside("python3", "-c", "import platform; print(platform.python_version())")
    assert version.startswith(f"{SUITE.python}.")
    assert json.loads(inside("python3", "-c", IMPORT_ALL, *NOT_HERE, *NOT_IMPORTED)) == []


def test_a_virtual_environment_can_be_made(inside: Inside):
    made = inside("sh", "-c", "python3 -m venv /tmp/venv && /tmp/venv/bin/python -m pip --version")
    assert made.startswith("pip ")


def test_pip_may_install_into_the_image(inside: Inside):
    # Nothing is fetched: a project of the container's own.
    project = "mkdir /p && cd /p && echo 'from setuptools import setup; setup(name=\"ours\")' > setup.py"
    installed = inside("sh", "-c", f"{project} && python3 -m pip install --no-build-isolation --no-index .")
    assert "Successfully installed ours" in installed


def test_java_is_there(inside: Inside):
    assert f'version "{SUITE.java}.' in inside("sh", "-c", '"$JAVA_HOME/bin/java" -version')
    assert f'version "{SUITE.java}.' in inside("java", "-version")


def test_what_spark_and_other_programs_need_is_there(inside: Inside):
    assert "1" in inside("ps", "-o", "pid=", "-p", "1")
    assert inside("sh", "-c", "echo $LANG") == "C.UTF-8\n"
    assert inside("sh", "-c", "wc -l < /etc/ssl/certs/ca-certificates.crt").strip() != "0"
    zone = "import zoneinfo; print(zoneinfo.ZoneInfo('Asia/Tokyo'))"
    assert inside("python3", "-c", zone) == "Asia/Tokyo\n"


def test_it_runs_read_only_as_any_user(inside: Inside):
    assert inside("python3", "-c", "import os; print(os.getuid())", user="12345", read_only=True) == "12345\n"


def test_what_is_of_no_use_in_a_container_is_not_there(inside: Inside):
    found = inside(
        "sh", "-c", "find /usr/share/man /usr/share/locale /var/lib/apt/lists /var/cache/apt -type f -size +0"
    )
    assert found == ""


def test_packages_come_with_their_security_updates(inside: Inside):
    sources = inside("sh", "-c", "cat /etc/apt/sources.list")
    assert f" {SUITE.name}-security main" in sources


def test_the_labels_say_what_it_is(client: docker.DockerClient, image: str):
    labels = client.images.get(image).labels
    assert labels["isolated-emr.made-by"].startswith("pytest-isolated-emr ")
    assert labels["isolated-emr.suite"] == SUITE.name
    assert labels["isolated-emr.python"] == SUITE.python
    assert labels["isolated-emr.java"] == str(SUITE.java)


def test_a_second_build_says_that_it_is_there(client: docker.DockerClient, image: str):
    before = client.images.get(image).id
    again = subprocess.run([*COMMAND, "--tag", image], capture_output=True, text=True, timeout=TIMEOUT)
    assert again.returncode == 0
    assert f"{image} is there already: Debian {SUITE.name}" in again.stdout
    assert "--force" in again.stdout
    assert client.images.get(image).id == before


@pytest.mark.thorough
def test_a_build_says_how_far_it_is(build: Build):
    code, output = build.run()
    assert code == 0, output
    assert "s: installing essential packages" in output
    assert f"{build.tag}: Debian {SUITE.name}, Python {SUITE.python}." in output


@pytest.mark.thorough
def test_force_takes_the_name_over(client: docker.DockerClient, image: str, build: Build, quick_path: str):
    former = client.images.get(image)
    former.tag(*build.tag.split(":"))
    code, output = build.run("--force", PATH=quick_path)
    assert code == 0, output
    latest = client.images.get(build.tag).id
    assert latest != former.id
    # It has another name, and so it stays.
    assert client.images.get(image).id == former.id
    code, output = build.run("--force", PATH=quick_path)
    assert code == 0, output
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(latest)


@pytest.mark.thorough
def test_force_leaves_a_former_image_with_containers(
    client: docker.DockerClient, build: Build, quick_path: str
):
    assert build.run(PATH=quick_path)[0] == 0
    former = client.images.get(build.tag).id
    container = client.containers.create(former)
    try:
        code, output = build.run("--force", PATH=quick_path)
        assert code == 0, output
        assert "the former image stays: " in output
        assert client.images.get(build.tag).id != former
    finally:
        container.remove()
        client.images.remove(former)


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGINT, "downloading packages"),
        pytest.param(signal.SIGTERM, "installing remaining", marks=pytest.mark.thorough),
    ],
)
def test_an_interrupted_build_leaves_nothing(build: Build, number: signal.Signals, stage: str):
    interrupt(build.start(), number, stage)
    build.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_leaves_nothing(build: Build, number: signal.Signals, quick_path: str):
    interrupt(build.start(PATH=quick_path), number, "creating tarball")
    build.assert_nothing_left()


def interrupt(process: subprocess.Popen[str], number: signal.Signals, stage: str) -> None:
    """Send a signal as soon as a build is at a stage, and wait for its end."""
    assert process.stdout is not None
    for line in process.stdout:
        if stage in line:
            break
    else:
        pytest.fail(f"it ended before {stage}")
    process.send_signal(number)
    output = process.communicate(timeout=TIMEOUT)[0]
    assert process.returncode != 0, output
    assert "Traceback" not in output


@pytest.mark.thorough
def test_a_killed_build_ends_and_leaves_no_mounts(client: docker.DockerClient, build: Build):
    interrupt(build.start(), signal.SIGKILL, "installing essential")
    build.assert_nothing_runs()
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(build.tag)
    # Plain files are all that it leaves, and too many to be kept.
    shutil.rmtree(build.temporary)


def test_no_mirror_answers(build: Build):
    code, output = build.run("--mirror", "http://127.0.0.1:9/debian")
    assert code == 75
    assert "ERROR: IE521: Debian's packages cannot be fetched." in output
    assert "Name a mirror" in output
    build.assert_nothing_left()


def test_a_tar_of_a_failed_mmdebstrap_becomes_no_image(build: Build, tmp_path: Path):
    path = program(tmp_path, TAR + "sys.exit('E: No space left on device')")
    code, output = build.run(PATH=path)
    assert code == 75
    assert "ERROR: IE521: The disk is full." in output
    build.assert_nothing_left()


def test_an_image_that_does_not_work_gets_no_name(build: Build, tmp_path: Path):
    code, output = build.run(PATH=program(tmp_path, TAR))
    assert code == 75
    assert "ERROR: IE521: The engine failed at trying the image." in output
    build.assert_nothing_left()


def test_without_mmdebstrap(build: Build, tmp_path: Path):
    code, output = build.run(PATH=str(tmp_path))
    assert code == 75
    assert "ERROR: IE520: mmdebstrap is not installed." in output
    assert "apt-get install mmdebstrap" in output
    build.assert_nothing_left()


def test_a_suite_that_there_is_no_image_of(build: Build):
    code, output = build.run("--suite", "buster")
    assert code == 75
    assert "ERROR: IE520: There is no image of a Debian suite 'buster'." in output
    assert "bookworm (Python 3.11, Java 17), trixie (Python 3.13, Java 21)" in output


def test_a_name_that_no_image_can_have(build: Build):
    build.tag = "Not A Name"
    code, output = build.run()
    assert code == 75
    assert "ERROR: IE520: 'Not A Name' is no name for an image." in output


def test_without_an_engine(build: Build, tmp_path: Path):
    code, output = build.run(DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert code == 75
    assert "ERROR: IE5" in output
    assert "Traceback" not in output
    build.assert_nothing_left()
