import os
import time

import pytest


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish():
    with open(os.environ["BENCH_STAMPS"], "a") as stamps:
        stamps.write(f"{time.time()}\n")
