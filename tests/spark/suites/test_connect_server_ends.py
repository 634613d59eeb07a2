"""A Spark Connect server that ends in a test; it runs in a process of its own."""

import os
import signal
import socket
import time
from urllib.parse import urlsplit

import pytest
from pyspark.sql import SparkSession

from pytest_isolated_emr.spark.connect.isolation import ConnectIsolation, stop_session

URL = os.environ["SPARK_REMOTE"]


def wait_for_end():
    where = urlsplit(URL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection((where.hostname, where.port)).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    pytest.fail("the server still listens")


def test_the_server_ends_in_a_test():
    """Nothing waits for the ten minutes in which PySpark would call it again and again."""
    shared = SparkSession.builder.remote(URL).getOrCreate()
    isolation = ConnectIsolation(shared, {})
    with isolation.fresh_session() as session:
        assert session.range(3).count() == 3
        os.kill(int(os.environ["SERVER_PID"]), signal.SIGKILL)
        wait_for_end()
    assert session.is_stopped
    with pytest.raises(OSError, match="refused"):  # noqa: SIM117
        with isolation.fresh_session():
            pytest.fail("there is no server")
    stop_session(shared)
    assert shared.is_stopped
