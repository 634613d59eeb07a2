"""The options and ini settings, as pytest's help has them. This module is loaded in every run."""

from __future__ import annotations

import pytest

from pytest_isolated_emr import emr_options
from pytest_isolated_emr.given_settings import ini, option

BACKENDS = ("local", "docker", "emr")
DEFAULT_REGION = "us-east-1"
DEFAULT_START_TIMEOUT = 120.0
DEFAULT_SPARE_IDLE = 600.0
DEFAULT_WAIT = 1800.0


def add_options(parser: pytest.Parser) -> None:
    """Declare the options, and the ini settings of the same meaning. An option that is given wins over ini."""
    group = parser.getgroup("isolated-emr", "a private Spark, S3 and EMR for this run")
    group.addoption(
        "--isolated-emr",
        action="store_true",
        default=None,
        dest="isolated_emr",
        help="Give this run its own Spark, S3 and EMR, and take them away at its end.",
    )
    group.addoption(
        "--no-isolated-emr",
        action="store_false",
        default=None,
        dest="isolated_emr",
        help="Run without, even if the ini file says isolated_emr = true.",
    )
    group.addoption(
        "--isolated-emr-backend",
        default=None,
        metavar="BACKEND",
        help=f"Where Spark runs: {', '.join(BACKENDS)}. Default: {BACKENDS[0]}.",
    )
    group.addoption(
        "--isolated-emr-region",
        default=None,
        metavar="REGION",
        help=f"The AWS region that clients see. Default: AWS_REGION, AWS_DEFAULT_REGION, else {DEFAULT_REGION}.",
    )
    group.addoption(
        "--isolated-emr-retention",
        default=None,
        metavar="WHICH",
        help="Whose scratch and logs are kept for a look: failed (default), all, none.",
    )
    group.addoption(
        "--isolated-emr-spark-ui",
        action="store_true",
        default=None,
        help="Run Spark's web UI, on a free port of 127.0.0.1. It is off by default.",
    )
    group.addoption(
        "--isolated-emr-start-timeout",
        default=None,
        metavar="SECONDS",
        help=f"How long a Spark JVM may take until it answers. Default: {DEFAULT_START_TIMEOUT:.0f}.",
    )
    group.addoption(
        "--isolated-emr-warm",
        default=None,
        metavar="WHEN",
        help="Whether processes go on after the last test, to make what lets later runs start faster, a spare among it: "
        "auto (default: not where the environment variable CI is set), always, never.",
    )
    group.addoption(
        "--no-isolated-emr-warm",
        action="store_const",
        const="never",
        dest="isolated_emr_warm",
        help="The same as --isolated-emr-warm=never.",
    )
    group.addoption(
        "--isolated-emr-spare-idle",
        default=None,
        metavar="SECONDS",
        help="How long a spare, started ahead for the next run, waits for it before it ends. "
        f"Default: {DEFAULT_SPARE_IDLE:.0f}.",
    )
    group.addoption(
        "--isolated-emr-wait",
        default=None,
        metavar="SECONDS",
        help="How long to wait for other runs' end where they have this machine's memory or cores, or a scratch has as many "
        f"clusters as it may (emr backend). Default: {DEFAULT_WAIT:.0f}.",
    )
    group.addoption(
        "--isolated-emr-release",
        default=None,
        metavar="LABEL",
        help="The EMR release that the fixtures' clusters have. Default: the newest with the installed Spark.",
    )
    group.addoption(
        "--isolated-emr-image",
        default=None,
        metavar="IMAGE",
        help="What containers are made of (docker backend). Default: the release's image, or that of the installed Spark.",
    )
    group.addoption(
        "--isolated-emr-docker-memory",
        default=None,
        metavar="SIZE",
        help="The most memory that a container may take, such as 3g (docker backend). Default: by the machine, 2g to 4g.",
    )
    group.addoption(
        "--isolated-emr-docker-cpus",
        default=None,
        metavar="NUMBER",
        help="How many cores a container may use, such as 1.5 (docker backend). Default: a worker's share.",
    )
    group.addoption(
        "--isolated-emr-docker-network",
        default=None,
        metavar="WHICH",
        help="closed (default): containers reach the run's own AWS and this machine; open: other networks too "
        "(docker backend).",
    )
    parser.addini("isolated_emr", "The same as --isolated-emr.", type="bool", default=False)
    parser.addini("isolated_emr_backend", "The same as --isolated-emr-backend.", default="")
    for name in ("image", "docker_memory", "docker_cpus", "docker_network"):
        dashed = name.replace("_", "-")
        parser.addini(f"isolated_emr_{name}", f"The same as --isolated-emr-{dashed}.", default="")
    parser.addini("isolated_emr_region", "The same as --isolated-emr-region.", default="")
    parser.addini("isolated_emr_release", "The same as --isolated-emr-release.", default="")
    parser.addini("isolated_emr_retention", "The same as --isolated-emr-retention.", default="")
    parser.addini("isolated_emr_spark_ui", "The same as --isolated-emr-spark-ui.", type="bool", default=False)
    parser.addini("isolated_emr_warm", "The same as --isolated-emr-warm.", default="")
    parser.addini("isolated_emr_spare_idle", "The same as --isolated-emr-spare-idle.", default="")
    parser.addini("isolated_emr_wait", "The same as --isolated-emr-wait.", default="")
    parser.addini("isolated_emr_start_timeout", "The same as --isolated-emr-start-timeout.", default="")
    parser.addini(
        "isolated_emr_buckets",
        "Buckets made before the first test, one a line: NAME, or NAME = DIRECTORY to fill it from.",
        type="linelist",
        default=[],
    )
    parser.addini(
        "isolated_emr_repositories",
        "Roots of Maven repositories to fetch jars from in place of Maven Central, one a line.",
        type="linelist",
        default=[],
    )
    emr_options.add_options(parser, group)


def is_enabled(config: pytest.Config) -> bool:
    """Tell whether the run is to be isolated, by option or, where no option says, by ini."""
    by_option = option(config, "isolated_emr")
    if by_option is not None:
        return bool(by_option)
    return bool(ini(config, "isolated_emr"))
