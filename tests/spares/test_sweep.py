"""``isolated-emr sweep --spares`` ends spares; nothing else does but their run, their time, and a signal."""

from __future__ import annotations

import json
import signal

import psutil
import pytest

from tests.conftest import UNDER_ONE_SPARK
from tests.spares.by_spare import live, wait_for

pytestmark = [pytest.mark.spark, UNDER_ONE_SPARK]


def sweep(suite, *arguments, code=0):
    result = suite.command("sweep", "--spares", "--json", *arguments)
    assert result.returncode == code, result.stderr
    return {each["run_id"]: each["outcome"] for each in json.loads(result.stdout)}


def test_it_is_listed_and_ended_by_word_alone(suite):
    spare = suite.spare()
    # Sweeps of sessions, and of other runs, do not touch it.
    swept = suite.command("sweep", "--delete")
    assert (swept.returncode, swept.stdout.strip()) == (0, "nothing is left over")
    suite.write("def test_it(): pass\n")
    suite.run("--no-isolated-emr-warm").assert_passed(1)
    assert sweep(suite) == {spare.run_id: "would be ended"}
    assert "dry run" in suite.command("sweep", "--spares").stdout
    assert not spare.is_gone()

    psutil.Process(spare.keeper.pid).suspend()
    assert sweep(suite, "--delete", code=1) == {spare.run_id: "does not answer"}
    psutil.Process(spare.keeper.pid).resume()
    # It hears of it now.
    spare.wait_until_gone()
    assert sweep(suite, "--delete") == {}
    assert suite.command("sweep", "--spares").stdout.strip() == "there is no spare"


def test_one_that_warms_up_is_ended_too(suite):
    suite.write("def test_it(): pass\n")
    suite.run().assert_passed(1)
    wait_for(lambda: list(live(suite.home)), "a spare")
    (found,) = live(suite.home)
    path = found[0]
    wait_for((path / "keeper.sock").exists, "its socket")
    assert sweep(suite, "--delete") == {path.name: "ended"}
    wait_for(lambda: not path.exists(), "its end")
    assert list(live(suite.home)) == []


@pytest.mark.thorough
def test_a_signal_ends_it(suite):
    spare = suite.spare()
    spare.keeper.signal(signal.SIGTERM)
    spare.wait_until_gone()


def test_it_goes_with_nothing_but_delete(suite):
    assert suite.command("sweep", "--spares", "--kept").returncode == 2
