"""Promise 8: without the option the plugin changes nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, pytest_isolated_emr.plugin\n"
        "heavy = {'pyspark', 'moto', 'boto3', 'botocore', 'docker', 'psutil', 'wrapt', 'click', 'rich'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_started_or_changed(project, home, run_pytest):
    (project / "test_it.py").write_text(
        "import os, sys\n"
        "def test_it(pytestconfig):\n"
        "    assert os.environ['AWS_PROFILE'] == 'mine'\n"
        "    assert not pytestconfig.pluginmanager.has_plugin('isolated_emr_run')\n"
        "    assert 'pytest_isolated_emr.keeper.client' not in sys.modules\n"
    )
    run_pytest(AWS_PROFILE="mine").assert_passed(1)
    assert not (home / "sessions").exists()


@pytest.mark.parametrize("name", ["isolated_emr", "spark", "scratch", "session_scratch", "s3", "aws_client"])
def test_a_fixture_says_how_to_turn_it_on(pytester, name):
    pytester.makepyfile(f"def test_it({name}): pass")
    result = pytester.runpytest_inprocess("-p", "no:spark")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*IE001*", "*--isolated-emr*"])


def test_names_of_a_conftest_are_its_own(pytester):
    pytester.makeconftest(
        "import pytest\n@pytest.fixture\ndef spark(): return 'mine'\n@pytest.fixture\ndef s3(): return 'mine'"
    )
    pytester.makepyfile("def test_it(spark, s3): assert spark == s3 == 'mine'")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_names_of_another_plugin_are_its_own(pytester, monkeypatch):
    pytester.makepyfile(other="import pytest\n@pytest.fixture\ndef spark(): return 'theirs'")
    pytester.makepyfile("def test_it(spark): assert spark == 'theirs'")
    monkeypatch.syspath_prepend(pytester.path)
    pytester.runpytest_inprocess("-p", "other").assert_outcomes(passed=1)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_starts_nothing(project, home, run_pytest, argument):
    assert run_pytest("--isolated-emr", argument).code == 0
    assert not (home / "sessions").exists()


def test_collecting_starts_no_spark(project, home, run_pytest):
    (project / "test_it.py").write_text("def test_it(spark): pass\n")
    (project / "conftest.py").write_text(
        "def pytest_sessionfinish(session):\n"
        "    run = session.config.pluginmanager.get_plugin('isolated_emr_run')\n"
        "    print('STARTED', run._spark.runtime.is_started)\n"
    )
    finished = run_pytest("--isolated-emr", "--collect-only", "-s")
    assert finished.code == 0
    assert "STARTED False" in finished.output
    assert list((home / "sessions").iterdir()) == []


def test_ini_turns_it_on_and_the_option_off(project, home, run_pytest):
    (project / "pytest.ini").write_text("[pytest]\nisolated_emr = true\n")
    (project / "test_it.py").write_text("def test_it(isolated_emr): pass\n")
    run_pytest("--collect-only").output.index("isolated-emr: local")
    assert "IE001" in run_pytest("--no-isolated-emr").output
