"""A pytest plugin that writes when each part of each test began and ended, for the process that measures."""

from __future__ import annotations

import json
import os

import pytest

REPORTS_VARIABLE = "BENCH_REPORTS"


def pytest_configure(config: pytest.Config) -> None:
    # xdist's controller gets the reports of its workers.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reporter(), "bench_reporter")


class _Reporter:
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        line = {
            "test": report.nodeid,
            "when": report.when,
            "began": report.start,
            "ended": report.stop,
            "outcome": report.outcome,
        }
        with open(os.environ[REPORTS_VARIABLE], "a") as reports:
            reports.write(json.dumps(line) + "\n")
