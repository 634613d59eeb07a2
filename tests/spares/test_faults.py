"""A spare that is dead, hangs or is somebody else's costs a cold start; and however a run ends, what it claimed goes with it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from pytest_isolated_emr.keeper import messages
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.lifecycle.processes import descendants_of
from pytest_isolated_emr.lifecycle.run_id import new_run_id
from pytest_isolated_emr.lifecycle.session_directory import WARMING, is_alive, read_metadata
from tests.conftest import UNDER_ONE_SPARK, Finished
from tests.spares.by_spare import READY, WARM, live, port_is_free, wait_for, wait_for_spare
from tests.spares.conftest import SIMPLE, Suite

pytestmark = [pytest.mark.spark, UNDER_ONE_SPARK]

NEVER = "--no-isolated-emr-warm"

OPENING = {
    "backend": "local",
    "backend_options": {},
    "region": "us-east-1",
    "buckets": [],
    "claim": None,
    "cwd": "/",
    "command": ["test"],
    "versions": {},
}


def slot_of(suite: Suite) -> Path:
    (slot,) = (path for path in (suite.home / "spares").iterdir() if not path.suffix)
    return slot


def test_a_dead_one_costs_a_cold_start_and_is_swept(suite):
    spare = suite.spare()
    spare.keeper.signal(signal.SIGKILL)
    suite.write(SIMPLE)
    finished = suite.run()
    finished.assert_passed(1)
    assert READY not in finished.output
    spare.wait_until_gone()


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["jvm", "endpoint"])
def test_one_that_loses_a_part_ends_by_itself(suite, part):
    spare = suite.spare()
    port = spare.port
    getattr(spare, part).kill()
    spare.wait_until_gone()
    assert port_is_free(port)
    assert list((suite.home / "spares").iterdir()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["keeper", "jvm", "endpoint"])
def test_a_stopped_one_costs_a_cold_start_and_ends_once_it_goes_on(suite, part):
    spare = suite.spare()
    stopped = psutil.Process(spare.keeper.pid) if part == "keeper" else getattr(spare, part)
    stopped.suspend()
    try:
        suite.write(SIMPLE)
        finished = suite.run()
        finished.assert_passed(1)
        assert READY not in finished.output
    finally:
        if stopped.is_running():
            stopped.resume()
    spare.wait_until_gone()


def test_of_two_runs_at_once_one_gets_it(suite):
    spare = suite.spare()
    suite.write(
        "import os\nfrom pathlib import Path\n"
        "def test_it(spark, s3, isolated_emr):\n"
        "    assert [each['Name'] for each in s3.list_buckets()['Buckets']] == [f'isolated-emr-{isolated_emr.run_id}']\n"
        "    s3.create_bucket(Bucket='mine')\n"
        "    spark.range(3).write.saveAsTable('mine')\n"
        # Both are there at the same time.
        "    os.write(os.open(os.environ['TOLD'], os.O_WRONLY), b'.')\n"
        "    os.read(os.open(os.environ['WAIT'], os.O_RDONLY), 1)\n"
    )
    told, wait = suite.facts.parent / "told", suite.facts.parent / "wait"
    for pipe in (told, wait):
        os.mkfifo(pipe)
    held = [os.open(pipe, os.O_RDWR) for pipe in (told, wait)]
    runs = [suite.start(WARM, TOLD=str(told), WAIT=str(wait)) for _ in range(2)]
    for _ in runs:
        assert os.read(held[0], 1) == b"."
    os.write(held[1], b"..")
    finished = [Finished(run) for run in runs]
    for each in finished:
        each.assert_passed(1)
    assert sorted(READY in each.output for each in finished) == [False, True]
    assert sorted(f"run {spare.run_id}" in each.output for each in finished) == [False, True]
    spare.wait_until_gone()
    for descriptor in held:
        os.close(descriptor)


WAITING = """
import os
def test_it(spark):
    assert spark.range(3).count() == 3
    open(os.environ["FACTS"], "w").write("there")
    os.read(os.pipe()[0], 1)
"""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        *(pytest.param(each, marks=pytest.mark.thorough) for each in (signal.SIGTERM, signal.SIGINT)),
    ],
    ids=["SIGKILL", "SIGTERM", "SIGINT"],
)
def test_what_a_run_claimed_goes_with_it(suite, number):
    spare = suite.spare()
    port = spare.port
    suite.write(WAITING)
    run = suite.start(WARM)
    wait_for(suite.facts.exists, "the test")
    run.send_signal(number)
    output, _ = run.communicate()
    assert READY in output or number == signal.SIGKILL
    spare.wait_until_gone()
    assert port_is_free(port)


@pytest.mark.thorough
def test_what_a_run_claimed_just_now_goes_with_it(suite):
    spare = suite.spare()
    run = suite.start(WARM)
    wait_for(lambda: dict(live(suite.home)).get(spare.directory) == "session", "the claim")
    run.kill()
    run.communicate()
    spare.wait_until_gone()


@pytest.mark.thorough
def test_who_has_no_right_to_it_leaves_it_to_who_has(suite):
    """All with one spare: those before the last must not have taken it."""
    spare = suite.spare()
    key = slot_of(suite).name
    with closing(messages.connect(spare.directory)):
        pass
    with closing(messages.connect(spare.directory)) as silent:
        silent.sendall(b'{"id":1,"op":"cl')
    assert KeeperClient.claim(spare.directory, "f" * 32, OPENING, print) is None
    assert is_alive(spare.directory)

    claimed = KeeperClient.claim(spare.directory, key, OPENING, print)
    assert claimed is not None
    client, described = claimed
    # Once, and whoever comes later is told.
    assert KeeperClient.claim(spare.directory, key, OPENING, print) is None
    assert KeeperClient.end_spare(spare.directory) is False
    metadata = read_metadata(spare.directory)
    assert metadata is not None
    assert (metadata.state, metadata.command) == ("session", ["test"])
    assert described["run_id"] == spare.run_id
    client.close()
    spare.wait_until_gone()


@pytest.mark.thorough
def test_who_claims_and_does_not_wait_has_it_end(suite):
    spare = suite.spare()
    connection = messages.connect(spare.directory)
    connection.sendall(messages.encode({"id": 1, "op": "claim", "key": slot_of(suite).name}))
    connection.close()
    spare.wait_until_gone()


def test_a_session_that_is_no_spare_is_not_claimed(suite):
    """What a slot's file names is asked whether it is one."""
    suite.write(WAITING)
    run = suite.start(NEVER)
    wait_for(suite.facts.exists, "the test")
    (path,) = [path for path, state in live(suite.home) if state == "session"]
    assert KeeperClient.claim(path, "f" * 32, OPENING, print) is None
    assert KeeperClient.end_spare(path) is False
    assert is_alive(path)
    assert run.poll() is None
    run.kill()
    run.communicate()


@pytest.mark.thorough
@pytest.mark.parametrize("content", ["directory", "garbage", "nobody"])
def test_a_damaged_place_costs_a_cold_start(alone, content):
    alone.write(SIMPLE)
    alone.run(WARM).assert_passed(1)
    spare = wait_for_spare(alone.home)
    slot = slot_of(alone)
    slot.unlink()
    # It is not to be found any more.
    spare.wait_until_gone()
    if content == "directory":
        slot.mkdir()
    else:
        slot.write_text("../../etc" if content == "garbage" else new_run_id())
    finished = alone.run(NEVER if content == "directory" else WARM)
    finished.assert_passed(1)
    assert READY not in finished.output


@pytest.mark.parametrize("kind", ["a file in the way", "no place to write"])
@pytest.mark.thorough
def test_where_none_can_be_left_no_run_fails(alone, kind):
    spares = alone.home / "spares"
    if kind == "a file in the way":
        spares.write_text("")
    else:
        spares.symlink_to("/proc/1")
    alone.write(SIMPLE)
    finished = alone.run(WARM)
    finished.assert_passed(1)
    assert "could not be removed" not in finished.output
    assert list(live(alone.home)) == []


def warming(suite: Suite) -> Path:
    """Return the directory of a spare that has begun to warm up."""
    suite.write("def test_it(): pass\n")
    suite.run(WARM).assert_passed(1)
    wait_for(lambda: [path for path, state in live(suite.home) if state == WARMING], "a spare that warms up")
    (path,) = [path for path, state in live(suite.home) if state == WARMING]
    return path


@pytest.mark.parametrize("how", ["keeper killed", pytest.param("terminated", marks=pytest.mark.thorough)])
def test_one_that_ends_while_it_warms_up_leaves_nothing_and_makes_room(alone, how):
    path = warming(alone)
    metadata = read_metadata(path)
    assert metadata is not None
    wait_for(lambda: len(descendants_of(metadata.keeper)) > 1, "its JVM")
    processes = [metadata.keeper, *descendants_of(metadata.keeper)]
    metadata.keeper.signal(signal.SIGKILL if how == "keeper killed" else signal.SIGTERM)
    wait_for(lambda: not [each for each in processes if each.is_alive()], "the end of what it started")
    if how == "terminated":
        wait_for(lambda: not path.exists(), "the end of its directory")
    # It did not fail, so the next run leaves one at once; that run sweeps what this one left.
    alone.run(WARM).assert_passed(1)
    wait_for(lambda: not path.exists(), "the sweep")
    assert wait_for_spare(alone.home).run_id != path.name


@pytest.mark.thorough
def test_a_run_while_it_warms_up_starts_cold_and_makes_no_second(alone):
    path = warming(alone)
    alone.write("def test_it(): pass\n")
    finished = alone.run(WARM)
    finished.assert_passed(1)
    if READY not in finished.output:
        assert wait_for_spare(alone.home).run_id == path.name
        # And the one that found the place taken has not said that one failed.
        finished = alone.run(WARM)
        assert READY in finished.output
        assert wait_for_spare(alone.home).run_id != path.name


@pytest.mark.thorough
def test_it_ends_after_a_time(alone):
    alone.write(SIMPLE)
    alone.run(WARM, "--isolated-emr-spare-idle=1").assert_passed(1)
    wait_for(lambda: list(live(alone.home)), "a spare")
    wait_for(lambda: not list((alone.home / "sessions").iterdir()), "its end")
    assert list((alone.home / "spares").iterdir()) == []


@pytest.mark.thorough
def test_one_that_fails_says_why_and_is_not_tried_again_at_once(alone):
    (alone.home / "spares").mkdir(mode=0o700)
    alone.write(
        "import os\n"
        "def pytest_isolated_emr_spark_conf(config, conf):\n"
        "    if 'BROKEN' in os.environ:\n"
        "        conf['spark.driver.extraJavaOptions'] = '-XX:ReservedCodeCacheSize=nonsense'\n",
        "conftest.py",
    )
    alone.write("def test_it(): pass\n")
    alone.run(WARM, BROKEN="1").assert_passed(1)
    logs = alone.home / "spares"
    wait_for(lambda: any(path.stat().st_size for path in logs.glob("*.log")), "what it says")
    (log,) = logs.glob("*.log")
    wait_for(lambda: "IE" in log.read_text() or "Error" in log.read_text(), "what it says")
    assert "ReservedCodeCacheSize" in log.read_text()
    wait_for(lambda: not list((alone.home / "sessions").iterdir()), "its end")
    before = log.stat().st_mtime
    alone.run(WARM).assert_passed(1)
    assert list(live(alone.home)) == []
    assert log.stat().st_mtime == before
    # An hour later.
    os.utime(log, (time.time() - 3700, time.time() - 3700))
    alone.run(WARM).assert_passed(1)
    wait_for_spare(alone.home)
    assert not log.exists()
