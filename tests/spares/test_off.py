"""Where no spare is wanted none is used and none is left; and one keeps no secret."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import UNDER_ONE_SPARK
from tests.spares.by_spare import READY, WARM, live, wait_for_spare

pytestmark = [pytest.mark.spark, UNDER_ONE_SPARK]

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ((), {"CI": "true"}),
        (("--no-isolated-emr-warm",), {}),
        pytest.param(("--isolated-emr-warm=never",), {}, marks=pytest.mark.thorough),
    ],
)
def test_it_is_neither_used_nor_left(suite, arguments, variables):
    spare = suite.spare()
    suite.write("def test_it(): pass\n")
    finished = suite.run(*(arguments or ("-v",)), **variables)
    finished.assert_passed(1)
    assert READY not in finished.output
    assert [path for path, _ in live(suite.home)] == [spare.directory]


def test_runs_without_a_test_leave_none(alone):
    alone.write("def test_it(): pass\n")
    for arguments in (("-k", "nothing"), ("--collect-only",), ("--fixtures",)):
        alone.run(WARM, *arguments)
        assert not (alone.home / "spares").exists()


@pytest.mark.thorough
def test_a_run_inside_of_another_leaves_none(alone):
    alone.write("def test_it(): pass\n")
    alone.write(
        "import os, subprocess, sys\n"
        "def test_outer():\n"
        "    inner = [sys.executable, '-m', 'pytest', '--isolated-emr', 'test_it.py', '-p', 'no:cacheprovider']\n"
        "    assert subprocess.run(inner).returncode == 0\n",
        "test_outer.py",
    )
    alone.run("--isolated-emr-warm=never", "test_outer.py").assert_passed(1)
    result = alone.command("exec", "--", sys.executable, "-m", "pytest", str(alone.project))
    assert result.returncode in (0, 1, 2)
    assert not (alone.home / "spares").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"SPARK_AUTH_SECRET": SECRET},
        pytest.param({"JAVA_TOOL_OPTIONS": f"-Dmy.password={SECRET}"}, marks=pytest.mark.thorough),
    ],
    ids=str,
)
def test_where_something_sounds_like_a_secret_none_is_left(alone, variables):
    alone.write("def test_it(): pass\n")
    alone.run(WARM, **variables).assert_passed(1)
    (log,) = (alone.home / "spares").iterdir()
    (name,) = variables
    text = log.read_text()
    assert text.startswith("no spare keeps a secret:")
    assert name in text
    assert SECRET not in text
    assert list(live(alone.home)) == []


def test_a_spare_keeps_nothing_of_the_environment(alone):
    """But what a JVM needs at its start."""
    alone.write("def test_it(): pass\n")
    alone.run(WARM, MY_PASSWORD=SECRET, MY_SETTING="mine-alone", AWS_SECRET_ACCESS_KEY=SECRET).assert_passed(
        1
    )
    spare = wait_for_spare(alone.home)
    for identity in spare.processes:
        with open(f"/proc/{identity.pid}/environ", "rb") as file:
            environ = file.read()
        assert SECRET.encode() not in environ
        assert b"mine-alone" not in environ
        with open(f"/proc/{identity.pid}/cmdline", "rb") as file:
            assert SECRET.encode() not in file.read()
    for root in (spare.directory, alone.home / "spares"):
        for path in root.rglob("*"):
            if path.is_file():
                assert SECRET.encode() not in path.read_bytes(), path
                assert b"mine-alone" not in path.read_bytes(), path
    assert json.loads((spare.directory / "session.json").read_text())["command"] == []
