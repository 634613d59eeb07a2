"""The command line, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pytest_isolated_emr import settings

from ..conftest import TIMEOUT
from .conftest import wait_for_end


@pytest.fixture
def command_line(home):
    def run(*arguments, **options):
        return subprocess.run(
            command(*arguments), env=environ(home), capture_output=True, text=True, timeout=600, **options
        )

    return run


def command(*arguments):
    return [sys.executable, "-m", "pytest_isolated_emr.cli", *arguments]


def environ(home):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    return kept | {"ISOLATED_EMR_HOME": str(home), "COLUMNS": "200"}


LIST = "import boto3, os; print(boto3.client('s3').list_buckets()['Buckets'][0]['Name'], os.environ['AWS_ENDPOINT_URL'])"


def test_exec_runs_a_command_in_an_environment_of_its_own(command_line, home):
    result = command_line("exec", "--", sys.executable, "-c", LIST)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("isolated-emr-")
    assert "http://127.0.0.1:" in result.stdout
    assert list((home / "sessions").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", 143)]
)
def test_exec_passes_the_exit_code_on(command_line, code, expected):
    assert command_line("exec", "--", sys.executable, "-c", code).returncode == expected


def test_exec_of_what_is_not_there(command_line, home):
    result = command_line("exec", "--", "no-such-command")
    assert result.returncode == 127
    assert "IE302" in result.stderr
    assert list((home / "sessions").iterdir()) == []


def test_a_killed_exec_takes_its_command_along(home):
    code = "import os; print(os.getpid(), flush=True); os.read(os.pipe()[0], 1)"
    process = subprocess.Popen(
        command("exec", "--", sys.executable, "-c", code),
        env=environ(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(process.stdout.readline())
    (session,) = (home / "sessions").iterdir()
    keeper = json.loads((session / "session.json").read_text())["keeper"]["pid"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for_end(pid)
    wait_for_end(keeper)
    assert not session.exists()


def test_ps_and_logs_show_a_live_session(home, command_line):
    assert "no live session" in command_line("ps").stdout
    code = "import os, sys; print('up', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        command("exec", "--", sys.executable, "-c", code),
        env=environ(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "up\n"
    (session,) = json.loads(command_line("ps", "--json").stdout)
    assert session["backend"] == "local"
    assert session["memory_bytes"] > 0
    assert session["run_id"] in command_line("ps").stdout
    assert "endpoint.log" in command_line("logs", session["run_id"]).stdout
    # A sweep says nothing of it and leaves it.
    assert session["run_id"] not in command_line("sweep", "--delete").stdout
    process.communicate("", timeout=120)
    assert process.returncode == 0
    assert json.loads(command_line("ps", "--json").stdout) == []


def test_logs_of_an_unknown_session(command_line):
    result = command_line("logs", "20261123t211623-9f3c2a")
    assert result.returncode == 1
    assert "IE301" in result.stderr


USES_THE_ARCHIVE = """
import pytest

# With -Xshare:on a JVM that cannot use the archive ends at its start.
@pytest.mark.isolated_emr(conf={"spark.driver.extraJavaOptions": "-Xshare:on"})
def test_spark(spark_session):
    options = spark_session._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments()
    assert [option for option in options if option.startswith("-XX:SharedArchiveFile=")]
    assert spark_session.range(3).count() == 3
"""


def test_sessions_use_the_archive_that_there_is(project, run_pytest):
    (project / "test_archive.py").write_text(USES_THE_ARCHIVE)
    run_pytest("--isolated-emr").assert_passed(1)


@pytest.mark.thorough
@pytest.mark.usefixtures("own_cache")
def test_fetch_archives_spark_classes_for_the_sessions_that_follow(command_line, home, project, run_pytest):
    result = command_line("fetch")
    assert result.returncode == 0, result.stderr
    assert str(home / "jars") in result.stdout
    (archive,) = (home / "class-data").glob("*.jsa")
    assert str(archive) in result.stdout
    made = archive.stat().st_mtime_ns

    again = command_line("fetch")
    assert again.returncode == 0, again.stderr
    assert archive.stat().st_mtime_ns == made

    (project / "test_archive.py").write_text(USES_THE_ARCHIVE)
    run_pytest("--isolated-emr").assert_passed(1)

    # One that does not fit is passed over.
    archive.write_bytes(b"no archive")
    (project / "test_archive.py").write_text(USES_THE_ARCHIVE.replace("-Xshare:on", "-Dnothing=1"))
    run_pytest("--isolated-emr").assert_passed(1)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.thorough
def test_a_run_has_the_classes_archived_for_later_ones(home, project, run_pytest):
    (project / "test_it.py").write_text("def test_it(spark):\n    assert spark.range(3).count() == 3\n")
    # As in CI: a run leaves nothing behind.
    run_pytest("--isolated-emr").assert_passed(1)
    assert not (home / "class-data").exists()

    first = run_pytest("--isolated-emr", CI="")
    first.assert_passed(1)
    assert "slow start: no archive" in first.output
    assert "archived in the background" in first.output
    deadline = time.monotonic() + TIMEOUT
    while not list((home / "class-data").glob("*.jsa")):
        assert time.monotonic() < deadline, [path.read_text() for path in home.glob("class-data/*.log")]
        time.sleep(0.1)

    second = run_pytest("--isolated-emr", CI="")
    second.assert_passed(1)
    assert "slow start" not in second.output
    assert "in the background" not in second.output


@pytest.mark.parametrize(
    ("ini", "option", "ci", "warm"),
    [
        ("", "", "", True),
        ("", "", "true", False),
        ("", "--isolated-emr-warm=always", "true", True),
        ("", "--isolated-emr-warm=never", "", False),
        ("isolated_emr_warm = never", "", "", False),
        ("isolated_emr_warm = always", "", "true", True),
        ("isolated_emr_warm = always", "--isolated-emr-warm=auto", "true", False),
    ],
)
def test_whether_later_runs_are_prepared(pytester, ini, option, ci, warm):
    pytester.makeini(f"[pytest]\n{ini}\n")
    config = pytester.parseconfig(*filter(None, [option]))
    assert settings.read_settings(config, {"CI": ci}).warm is warm


@pytest.mark.usefixtures("own_cache")
def test_doctor(command_line, home):
    result = command_line("doctor", "--json")
    findings = {finding["part"]: finding for finding in json.loads(result.stdout)}
    assert findings.keys() == {"java", "pyspark", "state", "jars", "memory", "docker", "leftovers"}
    assert "an engine with" in findings["docker"]["text"]
    assert result.returncode == 0
    assert findings["jars"]["level"] == "ok"
    jar = next((home / "jars").glob("*/*.jar"))
    # Not the shared file itself: a damaged copy in its place.
    content = jar.read_bytes()
    jar.unlink()
    jar.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    damaged = command_line("doctor")
    assert damaged.returncode == 1
    assert jar.name in damaged.stdout
    assert "to do:" in damaged.stdout
