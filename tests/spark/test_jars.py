"""Jars come into the cache whole or not at all, once, and soon or with a reason. All by real Ivy."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_isolated_emr.errors import JarsUnavailable, StateRootUnusable
from pytest_isolated_emr.spark import ivy
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.jars import JarSet, cached_sets, packages, s3_jars, verify
from pytest_isolated_emr.spark.java import Java

#: A process that fetches com.example:one, for tests that need several.
FETCH = """
import sys
from pathlib import Path
from pytest_isolated_emr.spark.installation import find_spark
from pytest_isolated_emr.spark.jars import packages
from pytest_isolated_emr.spark.java import find_java

found = packages(["com.example:one:1.0"], find_spark(), find_java(), Path(sys.argv[1]),
                 repositories=[sys.argv[2]], progress=lambda line: print(line, flush=True))
print("GOT", found.directory.name, *(path.name for path in found.jars))
"""


def quiet(_line: str) -> None:
    """Take what is being waited for, and say nothing."""


def add_module(root: Path, group: str, name: str, version: str, *needs: str, jar: bool = True) -> None:
    directory = root.joinpath(*group.split("."), name, version)
    directory.mkdir(parents=True)
    dependencies = ""
    for need in needs:
        of, what, which = need.split(":")
        dependencies += (
            f"<dependency><groupId>{of}</groupId><artifactId>{what}</artifactId>"
            f"<version>{which}</version></dependency>"
        )
    (directory / f"{name}-{version}.pom").write_text(
        f"<project><modelVersion>4.0.0</modelVersion><groupId>{group}</groupId><artifactId>{name}</artifactId>"
        f"<version>{version}</version><dependencies>{dependencies}</dependencies></project>"
    )
    if jar:
        with zipfile.ZipFile(directory / f"{name}-{version}.jar", "w") as archive:
            archive.writestr("name.txt", f"{group}:{name}:{version}")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository in which "one" needs "two" and parts of Spark."""
    root = tmp_path / "repository"
    spark = "org.apache.spark:spark-sql_2.13:4.0.0"
    kafka = "org.apache.spark:spark-streaming-kafka-0-10_2.13:4.0.0"
    needs = ("com.example:two:2.0", spark, kafka, "org.scala-lang:scala-library:2.13.1")
    add_module(root, "com.example", "one", "1.0", *needs)
    add_module(root, "com.example", "two", "2.0", "com.example:three:3.0")
    add_module(root, "com.example", "three", "3.0")
    for need in (spark, kafka, "org.scala-lang:scala-library:2.13.1"):
        add_module(root, *need.split(":"))
    return root


class Recording(http.server.SimpleHTTPRequestHandler):
    """Serve files, note what was asked for, and hold back what a test wants held back."""

    asked: list[str]
    hold: threading.Event

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.endswith(".jar"):
            self.hold.wait(30)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


@contextlib.contextmanager
def served(root: Path) -> Iterator[tuple[str, type[Recording]]]:
    handler = type("Handler", (Recording,), {"asked": [], "hold": threading.Event()})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(root))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", handler
        finally:
            handler.hold.set()
            server.shutdown()


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.fixture
def fetch(installation: SparkInstallation, java: Java, tmp_path: Path, repository: Path):
    def fetch(*coordinates: str, **options: object) -> JarSet:
        options = {"repositories": [repository.as_uri()], "progress": quiet, **options}
        return packages(
            coordinates or ["com.example:one:1.0"], installation, java, tmp_path / "cache", **options
        )

    return fetch


def names(jar_set: JarSet) -> list[str]:
    return [path.name for path in jar_set.jars]


class TestS3Jars:
    def test_they_are_slim_and_whole(self, s3_set: JarSet, installation: SparkInstallation):
        assert f"org.apache.hadoop_hadoop-aws-{installation.hadoop_version}.jar" in names(s3_set)
        assert verify(s3_set, full=True) == []
        assert {path.name for path in s3_set.directory.iterdir()} == {*names(s3_set), "manifest.json"}
        size = sum(path.stat().st_size for path in s3_set.jars)
        assert size < 16e6 if installation.major == 4 else size < 8e6

    def test_nothing_is_there_twice(self, s3_set: JarSet, installation: SparkInstallation):
        def module(name: str) -> str:
            return re.sub(r"^[^_]*_|-\d.*", "", name)

        ours = {module(name) for name in names(s3_set)}
        assert ours.isdisjoint(re.sub(r"-\d.*", "", path.name) for path in installation.jars_dir.iterdir())
        assert not [name for name in ours if name in ("bundle", "aws-java-sdk-bundle", "wildfly-openssl")]
        assert not [name for name in ours if name.startswith(("netty-codec", "slf4j", "commons-"))]

    def test_a_cached_set_needs_no_network_and_no_time(
        self, s3_set: JarSet, installation: SparkInstallation, java: Java, jar_cache: Path, closed_port: str
    ):
        begin = time.monotonic()
        again = s3_jars(installation, java, jar_cache, repositories=[closed_port], progress=quiet)
        assert again == s3_set
        assert time.monotonic() - begin < 0.5

    def test_offline_fails_soon_and_says_what_to_do(
        self, installation: SparkInstallation, java: Java, tmp_path: Path, closed_port: str
    ):
        begin = time.monotonic()
        with pytest.raises(JarsUnavailable) as caught:
            s3_jars(installation, java, tmp_path, repositories=[closed_port], progress=quiet)
        assert time.monotonic() - begin < 20
        said = str(caught.value)
        assert str(tmp_path) in said
        assert "Connection refused" in said
        assert closed_port in said
        assert "isolated-emr fetch" in said
        assert "isolated-emr fetch --repository URL" in said
        assert len(said.splitlines()) < 20
        assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


class TestPackages:
    def test_what_is_needed_comes_along_but_spark_does_not(self, fetch):
        assert names(fetch()) == [
            "com.example_one-1.0.jar",
            "com.example_three-3.0.jar",
            "com.example_two-2.0.jar",
            "org.apache.spark_spark-streaming-kafka-0-10_2.13-4.0.0.jar",
        ]

    def test_excludes_are_left_out_with_what_only_they_need(self, fetch):
        kafka = "org.apache.spark:spark-streaming-kafka-0-10_2.13"
        assert names(fetch(excludes=["com.example:two", kafka])) == ["com.example_one-1.0.jar"]

    def test_what_is_asked_for_can_be_excluded(self, fetch):
        found = fetch("com.example:one:1.0", "com.example/three/3.0", excludes=["com.example:one"])
        assert names(found) == ["com.example_three-3.0.jar"]

    def test_all_that_changes_the_result_makes_another_set(self, fetch, tmp_path: Path, repository: Path):
        settings = tmp_path / "ivysettings.xml"
        settings.write_text(
            '<ivysettings><settings defaultResolver="mine"/><resolvers>'
            f'<ibiblio name="mine" m2compatible="true" root="{repository.as_uri()}"/>'
            "</resolvers></ivysettings>"
        )
        three = "com.example:three:3.0"
        sets = [
            fetch(three),
            fetch("com.example:two:2.0"),
            fetch(three, excludes=["com.example:one"]),
            fetch(three, extra_repositories=[repository.as_uri() + "/"]),
            fetch(three, ivy_settings=settings, repositories=[]),
        ]
        assert len({found.directory for found in sets}) == len(sets)
        assert cached_sets(tmp_path / "cache") == sorted(sets, key=lambda found: found.directory)
        assert fetch(three) == sets[0]

    def test_extra_repositories_are_asked_besides(self, fetch, tmp_path: Path):
        add_module(tmp_path / "extra", "com.example", "four", "4.0", "com.example:three:3.0")
        found = fetch("com.example:four:4.0", extra_repositories=[(tmp_path / "extra").as_uri()])
        assert names(found) == ["com.example_four-4.0.jar", "com.example_three-3.0.jar"]

    def test_a_pom_without_its_jar_in_the_local_repository(
        self, fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        add_module(tmp_path / "home/.m2/repository", "com.example", "three", "3.0", jar=False)
        monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.home={tmp_path / 'home'}")
        assert names(fetch("com.example:three:3.0")) == ["com.example_three-3.0.jar"]

    def test_the_local_repository_serves_offline(
        self, fetch, tmp_path: Path, closed_port: str, monkeypatch: pytest.MonkeyPatch
    ):
        add_module(tmp_path / "home/.m2/repository", "com.example", "three", "3.0")
        monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.home={tmp_path / 'home'}")
        found = fetch("com.example:three:3.0", repositories=[closed_port])
        assert names(found) == ["com.example_three-3.0.jar"]

    def test_a_version_that_does_not_exist(self, fetch, tmp_path: Path):
        with pytest.raises(JarsUnavailable, match=r"com\.example#one;9\.9: not found"):
            fetch("com.example:one:9.9")
        assert cached_sets(tmp_path / "cache") == []

    @pytest.mark.parametrize("coordinate", ["one", "com.example:one", "com.example::1.0", "a:b:c:d"])
    def test_a_coordinate_that_is_none(self, fetch, coordinate: str):
        with pytest.raises(JarsUnavailable, match="group:artifact:version"):
            fetch(coordinate)

    def test_ivy_settings_that_are_not_there(self, fetch, tmp_path: Path):
        with pytest.raises(JarsUnavailable, match=r"spark\.jars\.ivySettings"):
            fetch(ivy_settings=tmp_path / "none.xml")

    def test_a_cache_that_cannot_be_made(self, fetch, tmp_path: Path):
        (tmp_path / "cache").write_text("a file is in its place")
        with pytest.raises(StateRootUnusable, match="ISOLATED_EMR_HOME"):
            fetch()


class TestDamage:
    @pytest.fixture
    def whole(self, fetch) -> JarSet:
        return fetch()

    def test_a_missing_jar_is_fetched_again(self, whole: JarSet, fetch):
        whole.jars[0].unlink()
        assert verify(whole) == [f"{whole.jars[0]} is missing"]
        assert verify(fetch(), full=True) == []

    def test_a_cut_off_jar_is_fetched_again(self, whole: JarSet, fetch):
        os.truncate(whole.jars[1], 10)
        assert "has 10 bytes" in verify(whole)[0]
        assert fetch() == whole
        assert verify(whole, full=True) == []

    def test_a_lost_manifest_is_made_again(self, whole: JarSet, fetch):
        (whole.directory / "manifest.json").write_text("{")
        assert "damaged" in verify(whole)[0]
        assert fetch() == whole

    def test_another_content_is_found_by_the_full_check(self, whole: JarSet):
        content = bytearray(whole.jars[0].read_bytes())
        content[-1] ^= 1
        whole.jars[0].write_bytes(content)
        assert verify(whole) == []
        assert "another content" in verify(whole, full=True)[0]


class TestSeveralProcesses:
    def start(self, cache: Path, url: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", FETCH, str(cache), url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def test_one_fetches_and_the_others_wait(self, tmp_path: Path, repository: Path):
        with served(repository) as (url, server):
            both = [self.start(tmp_path / "cache", url) for _ in range(2)]
            one_waits = threading.Event()

            def listen(process: subprocess.Popen[str]) -> str:
                lines = []
                for line in process.stdout:
                    lines.append(line)
                    if "waiting for another process" in line:
                        one_waits.set()
                process.wait()
                return "".join(lines)

            with ThreadPoolExecutor() as pool:
                heard = [pool.submit(listen, process) for process in both]
                waited = one_waits.wait(60)
                server.hold.set()
                said = [future.result(timeout=60) for future in heard]
            assert waited, said
        last = [text.splitlines()[-1] for text in said]
        assert last[0] == last[1]
        assert last[0].startswith("GOT packages-")
        assert sorted("waiting for another process" in text for text in said) == [False, True]
        assert len([path for path in server.asked if path.endswith("one-1.0.jar")]) == 1

    def test_a_killed_fetch_leaves_nothing_in_the_way(self, tmp_path: Path, repository: Path):
        cache = tmp_path / "cache"
        with served(repository) as (url, server):
            killed = self.start(cache, url)
            deadline = time.monotonic() + 60
            while not any(path.endswith(".jar") for path in server.asked):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            os.killpg(killed.pid, signal.SIGKILL)
            killed.communicate()
            assert cached_sets(cache) == []
            assert list(cache.glob(".staging-*"))
            server.hold.set()
            said = self.start(cache, url).communicate(timeout=60)[0]
        assert "GOT packages-" in said
        assert not list(cache.glob(".staging-*"))
        assert [verify(found, full=True) for found in cached_sets(cache)] == [[]]


def test_a_server_that_does_not_answer_is_given_up(fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ivy, "_READ_MS", 1000)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        begin = time.monotonic()
        with pytest.raises(JarsUnavailable, match="timed out"):
            fetch(
                *(f"com.example:m{n}:1" for n in range(30)),
                repositories=[f"http://127.0.0.1:{silent.getsockname()[1]}/"],
            )
        assert time.monotonic() - begin < 15


def test_an_ivy_that_does_not_end_is_ended(fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ivy, "MOST_SECONDS", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        with pytest.raises(JarsUnavailable, match="Ivy did not end in 2 s"):
            fetch(repositories=[f"http://127.0.0.1:{silent.getsockname()[1]}/"])
