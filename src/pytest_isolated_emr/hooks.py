"""The hooks by which a conftest takes part."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookspec
def pytest_isolated_emr_spark_conf(config: pytest.Config, conf: dict[str, str]) -> None:
    """Change the settings that the session's Spark starts with.

    Called before each start of a Spark JVM. Settings that lead out of the session (its endpoint, credentials,
    metastore, bind address) are put back afterwards.

    :param config: pytest's configuration.
    :param conf: the settings; change them in place.
    """


@pytest.hookspec
def pytest_isolated_emr_run_job_flow(config: pytest.Config, request: dict[str, Any]) -> None:
    """Change the RunJobFlow request of the session's cluster (emr backend).

    Called once, before the cluster is launched. What is the session's own is put back afterwards: the name, its tags, the
    longest idle time, the timer that ends the cluster, and that it waits for work and can be terminated.

    :param config: pytest's configuration.
    :param request: boto3's arguments of ``run_job_flow``; change them in place.
    """
