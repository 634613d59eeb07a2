"""The hooks by which a conftest takes part."""

from __future__ import annotations

import pytest


@pytest.hookspec
def pytest_isolated_emr_spark_conf(config: pytest.Config, conf: dict[str, str]) -> None:
    """Change the settings that the session's Spark starts with.

    Called before each start of a Spark JVM. Settings that lead out of the session (its endpoint, credentials,
    metastore, bind address) are put back afterwards.

    :param config: pytest's configuration.
    :param conf: the settings; change them in place.
    """
