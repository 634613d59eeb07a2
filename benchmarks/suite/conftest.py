import json
import os
import time


def pytest_runtest_logreport(report):
    line = {"ended": time.time(), "test": report.nodeid, "when": report.when, "seconds": report.duration}
    with open(os.environ["BENCH_REPORTS"], "a") as reports:
        reports.write(json.dumps(line) + "\n")
