"""Promise 7: an environment that cannot be had is an error that says what to do, with an exit code of its own."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXIT_NO_ENVIRONMENT = 75


@pytest.fixture(autouse=True)
def suite(project):
    (project / "test_it.py").write_text("def test_it(): pass\n")


def assert_refused(finished, code, *words):
    assert finished.code == EXIT_NO_ENVIRONMENT, finished.output
    for word in (code, "checked:", "to do:", *words):
        assert word in finished.output, finished.output
    assert "passed" not in finished.output
    assert "skipped" not in finished.output


def path_without_java(tmp_path: Path) -> str:
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("env", "sh", "bash", "dirname", "python3"):
        (directory / name).symlink_to(shutil.which(name))
    return str(directory)


def test_no_java(run_pytest, tmp_path):
    assert_refused(
        run_pytest("--isolated-emr", PATH=path_without_java(tmp_path), JAVA_HOME=""), "IE101", "JAVA_HOME"
    )


def test_too_old_a_java(run_pytest, tmp_path):
    java_home = tmp_path / "jdk-11"
    (java_home / "bin").mkdir(parents=True)
    (java_home / "bin" / "java").symlink_to(shutil.which("true"))
    (java_home / "release").write_text('JAVA_VERSION="11.0.2"\n')
    copied = java_home / "bin" / "java"
    copied.unlink()
    shutil.copy(shutil.which("true"), copied)
    assert_refused(run_pytest("--isolated-emr", JAVA_HOME=str(java_home)), "IE102", "11.0.2", "17")


def test_no_pyspark(run_pytest, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    packages = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    for directory in site.getsitepackages():
        for entry in Path(directory).iterdir():
            if not entry.name.startswith(("pyspark", "__pycache__")) and not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry)
    python = str(tmp_path / "venv" / "bin" / "python")
    assert_refused(run_pytest("--isolated-emr", python=python, SPARK_HOME=""), "IE103", "pip install")


def test_an_unwritable_state_root(run_pytest, tmp_path):
    # A file where the directory should be: root may write anywhere.
    (tmp_path / "file").write_text("")
    assert_refused(
        run_pytest("--isolated-emr", ISOLATED_EMR_HOME=str(tmp_path / "file")), "IE105", "ISOLATED_EMR_HOME"
    )


@pytest.fixture
def small_disk(tmp_path: Path, jar_cache: Path) -> Iterator[Path]:
    """A state root with a disk of its own. Needs root's rights."""
    home = tmp_path / "small"
    home.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m,mode=0700", "tmpfs", home], check=True)
    shutil.copytree(jar_cache, home / "jars")
    yield home
    subprocess.run(["umount", "--lazy", home], check=True)


@pytest.mark.usefixtures("own_cache")
def test_a_disk_that_gets_full_before_spark_starts(run_pytest, project, small_disk):
    # The session is there when the first conftest is imported.
    (project / "conftest.py").write_text(
        "import os\n"
        "with open(os.environ['ISOLATED_EMR_HOME'] + '/filler', 'wb', buffering=0) as filler:\n"
        "    for size in (1 << 24, 1):\n"
        "        try:\n"
        "            while filler.write(bytes(size)): pass\n"
        "        except OSError: pass\n"
    )
    finished = run_pytest("--isolated-emr", ISOLATED_EMR_HOME=str(small_disk))
    assert_refused(finished, "IE106", "No space left on device", str(small_disk))
    assert list((small_disk / "sessions").iterdir()) == []


@pytest.mark.usefixtures("own_cache")
def test_jars_that_cannot_be_fetched(run_pytest, project, tmp_path):
    (project / "pytest.ini").write_text("[pytest]\nisolated_emr_repositories = http://127.0.0.1:1/maven\n")
    home = tmp_path / "empty"
    # Neither is there a local Maven repository.
    finished = run_pytest("--isolated-emr", ISOLATED_EMR_HOME=str(home), HOME=str(tmp_path))
    assert_refused(
        finished, "IE107", "isolated-emr fetch", str(home), "slow start: its jars are fetched first"
    )
    assert not list(home.glob("sessions/*"))


@pytest.mark.usefixtures("own_cache")
def test_offline_with_the_jars_cached(run_pytest, project):
    (project / "pytest.ini").write_text("[pytest]\nisolated_emr_repositories =\n")
    proxy = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=1 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=1"
    (project / "test_it.py").write_text(
        "def test_it(isolated_emr): isolated_emr._session.client.request('spark_gateway')\n"
    )
    finished = run_pytest("--isolated-emr", JAVA_TOOL_OPTIONS=proxy)
    finished.assert_passed(1)
    assert "slow start: no archive of Spark's classes (isolated-emr fetch makes one)" in finished.output


@pytest.mark.parametrize(
    ("arguments", "ini", "words"),
    [
        (["--isolated-emr-backend=mesos"], "", ["--isolated-emr-backend", "mesos", "local"]),
        (["--isolated-emr-retention=some"], "", ["--isolated-emr-retention", "some", "failed, all, none"]),
        (["--isolated-emr-start-timeout=soon"], "", ["--isolated-emr-start-timeout", "soon"]),
        (["--isolated-emr-region=nowhere"], "", ["--isolated-emr-region", "nowhere"]),
        (["--isolated-emr-docker-memory=much"], "", ["--isolated-emr-docker-memory", "much", "3g"]),
        (["--isolated-emr-docker-memory=100m"], "", ["--isolated-emr-docker-memory", "100m", "512m"]),
        (["--isolated-emr-docker-cpus=none"], "", ["--isolated-emr-docker-cpus", "none", "1.5"]),
        (
            ["--isolated-emr-docker-network=half"],
            "",
            ["--isolated-emr-docker-network", "half", "closed, open"],
        ),
        ([], "isolated_emr_docker_cpus = -1", ["isolated_emr_docker_cpus", "-1"]),
        ([], "isolated_emr_retention = some", ["isolated_emr_retention", "some"]),
        ([], "isolated_emr_spark_ui = perhaps", ["isolated_emr_spark_ui", "perhaps"]),
        ([], "isolated_emr_buckets = UPPER", ["isolated_emr_buckets", "UPPER"]),
        ([], "isolated_emr_buckets = raw = missing", ["isolated_emr_buckets", "missing"]),
    ],
)
def test_a_wrong_setting_is_a_usage_error(run_pytest, project, home, arguments, ini, words):
    (project / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    finished = run_pytest("--isolated-emr", *arguments)
    assert finished.code == pytest.ExitCode.USAGE_ERROR, finished.output
    for word in words:
        assert word in finished.output, finished.output
    assert "Traceback" not in finished.output
    assert not list(home.glob("sessions/*"))


def test_spark_that_does_not_start_says_why(run_pytest, project):
    (project / "conftest.py").write_text(
        "def pytest_isolated_emr_spark_conf(config, conf): conf['spark.driver.memory'] = '1x'\n"
    )
    (project / "test_it.py").write_text("def test_it(spark): pass\n")
    finished = run_pytest("--isolated-emr")
    assert finished.code == 1
    assert "IE204" in finished.output, finished.output
    assert "1 error" in finished.output


def test_the_machine_has_what_these_tests_take_away():
    # Else each of them would pass for the wrong reason.
    assert shutil.which("java") or os.environ.get("JAVA_HOME")
