"""The options and ini settings: their names, their checks, and the settled values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BACKENDS = ("local", "docker")
RETENTIONS = ("failed", "all", "none")
NETWORKS = ("closed", "open")
WARM = ("auto", "always", "never")
DEFAULT_REGION = "us-east-1"
#: Less than this and no Spark starts, in bytes.
LEAST_MEMORY = 512 * 1024**2
DEFAULT_START_TIMEOUT = 120.0

# Patterns are compiled when they are used first, which most runs never do: this module is loaded in every one.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET_NAME = r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]"
_REGION = r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}"


@dataclass(frozen=True)
class BucketSetting:
    """A bucket that is there, filled, before the first test.

    :param name: the bucket's name.
    :param directory: the directory whose files become its objects; none makes an empty bucket.
    """

    name: str
    directory: Path | None = None


@dataclass(frozen=True)
class DockerSettings:
    """What the containers of the docker backend were asked to be.

    :param image: what they are made of; None for the image of the installed pyspark or of the release.
    :param memory: the most that one may take, in bytes; None to choose by the machine.
    :param cpus: how many cores one may use; None to choose by the machine.
    :param network: whether they reach other networks, one of ``NETWORKS``.
    """

    image: str | None = None
    memory: int | None = None
    cpus: float | None = None
    network: str = NETWORKS[0]


@dataclass(frozen=True)
class Settings:
    """What one session was asked for, checked.

    :param backend: where Spark runs, one of ``BACKENDS``.
    :param region: the AWS region that clients see.
    :param retention: whose scratch and logs are kept: ``failed`` tests', ``all``, ``none``.
    :param spark_ui: whether Spark's web UI runs, on a port of its own on 127.0.0.1.
    :param start_timeout: how long a Spark JVM may take until it answers, in seconds.
    :param buckets: made, and filled, before the first test.
    :param warm: whether what makes later runs quicker is made after this one.
    :param repositories: roots of Maven repositories to fetch jars from, in place of Maven Central.
    :param release: the EMR release that the fixtures' clusters have; None for one with the installed Spark.
    :param docker: what the containers of the docker backend are.
    """

    backend: str = BACKENDS[0]
    region: str = DEFAULT_REGION
    retention: str = RETENTIONS[0]
    spark_ui: bool = False
    start_timeout: float = DEFAULT_START_TIMEOUT
    buckets: tuple[BucketSetting, ...] = field(default=())
    warm: bool = False
    repositories: tuple[str, ...] = field(default=())
    release: str | None = None
    docker: DockerSettings = field(default=DockerSettings())


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
        help="Whether a process goes on after the last test, for a minute, to make what lets later runs start faster: "
        "auto (default: not where the environment variable CI is set), always, never.",
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
        option = name.replace("_", "-")
        parser.addini(f"isolated_emr_{name}", f"The same as --isolated-emr-{option}.", default="")
    parser.addini("isolated_emr_region", "The same as --isolated-emr-region.", default="")
    parser.addini("isolated_emr_release", "The same as --isolated-emr-release.", default="")
    parser.addini("isolated_emr_retention", "The same as --isolated-emr-retention.", default="")
    parser.addini("isolated_emr_spark_ui", "The same as --isolated-emr-spark-ui.", type="bool", default=False)
    parser.addini("isolated_emr_warm", "The same as --isolated-emr-warm.", default="")
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


def is_enabled(config: pytest.Config) -> bool:
    """Tell whether the run is to be isolated, by option or, where no option says, by ini."""
    option = _option(config, "isolated_emr")
    if option is not None:
        return bool(option)
    return bool(_ini(config, "isolated_emr"))


def read_settings(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check all settings.

    :param config: pytest's configuration, as early as ``pytest_load_initial_conftests``.
    :param environ: the user's own environment, for the region's default.
    :raises pytest.UsageError: names the setting, its value and the choices.
    """
    return Settings(
        backend=_choice(config, "backend", BACKENDS),
        region=_region(config, environ),
        retention=_choice(config, "retention", RETENTIONS),
        spark_ui=bool(_option(config, "isolated_emr_spark_ui") or _ini(config, "isolated_emr_spark_ui")),
        start_timeout=_seconds(config, "start_timeout", DEFAULT_START_TIMEOUT),
        buckets=_buckets(config),
        warm=_warm(config, environ),
        repositories=tuple(_ini(config, "isolated_emr_repositories")),
        release=_release(config),
        docker=_docker(config),
    )


def _option(config: pytest.Config, dest: str) -> Any:
    # Before pytest has parsed everything, what is known so far is only here.
    return getattr(config.known_args_namespace, dest, None)


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (ValueError, pytest.UsageError) as error:
        # pytest says what is wrong with the value, but not whose it is.
        raise pytest.UsageError(f"ini setting {name}: {error}") from error


def _given(config: pytest.Config, name: str) -> tuple[str, str] | None:
    """Return a setting's value with the place it was given in, or nothing where it was not given."""
    option = _option(config, f"isolated_emr_{name}")
    if option is not None:
        return str(option), f"--isolated-emr-{name.replace('_', '-')}"
    ini = str(_ini(config, f"isolated_emr_{name}")).strip()
    return (ini, f"ini setting isolated_emr_{name}") if ini else None


def _choice(config: pytest.Config, name: str, choices: tuple[str, ...]) -> str:
    given = _given(config, name)
    return choices[0] if given is None else _one_of(given, choices)


def _release(config: pytest.Config) -> str | None:
    given = _given(config, "release")
    if given is None:
        return None
    from pytest_isolated_emr.emr import releases

    return _one_of(given, tuple(releases.known()))


def _docker(config: pytest.Config) -> DockerSettings:
    image, memory, cpus = (_given(config, name) for name in ("image", "docker_memory", "docker_cpus"))
    return DockerSettings(
        image=image[0] if image else None,
        memory=_size(memory) if memory else None,
        cpus=_number(cpus) if cpus else None,
        network=_choice(config, "docker_network", NETWORKS),
    )


def _size(given: tuple[str, str]) -> int:
    value, place = given
    # As Docker and the JVM have it.
    found = re.fullmatch(r"(\d+)\s*([kmg])(i?b)?", value.lower())
    size = int(found[1]) * 1024 ** (" kmg".index(found[2])) if found else 0
    if size < LEAST_MEMORY:
        raise pytest.UsageError(f"{place}: {value!r} is not a size of 512m or more, such as 3g")
    return size


def _number(given: tuple[str, str]) -> float:
    value, place = given
    try:
        number = float(value)
    except ValueError:
        number = 0
    if not 0.1 <= number < float("inf"):
        raise pytest.UsageError(f"{place}: {value!r} is not a number of cores of 0.1 or more, such as 1.5")
    return number


def _one_of(given: tuple[str, str], choices: tuple[str, ...]) -> str:
    value, place = given
    if value not in choices:
        raise pytest.UsageError(f"{place}: {value!r} is not one of: {', '.join(choices)}")
    return value


def _seconds(config: pytest.Config, name: str, default: float) -> float:
    given = _given(config, name)
    if given is None:
        return default
    value, place = given
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise pytest.UsageError(f"{place}: {value!r} is not a number of seconds above 0 and up to 86400")
    return seconds


def _warm(config: pytest.Config, environ: Mapping[str, str]) -> bool:
    chosen = _choice(config, "warm", WARM)
    # A CI job's machine is thrown away, or wants to be left idle: https://docs.github.com/actions/reference/variables
    in_ci = environ.get("CI", "").lower() not in ("", "0", "false")
    return chosen == "always" or (chosen == "auto" and not in_ci)


def _region(config: pytest.Config, environ: Mapping[str, str]) -> str:
    given = _given(config, "region")
    if given is None:
        return default_region(environ)
    value, place = given
    if not re.fullmatch(_REGION, value):
        raise pytest.UsageError(
            f"{place}: {value!r} does not look like an AWS region, such as {DEFAULT_REGION}"
        )
    return value


def default_region(environ: Mapping[str, str]) -> str:
    """Return the region that the user's environment names, or AWS's first.

    :param environ: the user's own environment.
    """
    value = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    return value if re.fullmatch(_REGION, value) else DEFAULT_REGION


def _buckets(config: pytest.Config) -> tuple[BucketSetting, ...]:
    base = config.inipath.parent if config.inipath else config.rootpath
    buckets: dict[str, BucketSetting] = {}
    for line in _ini(config, "isolated_emr_buckets"):
        name, _, directory = (part.strip() for part in line.partition("="))
        place = "ini setting isolated_emr_buckets"
        if not re.fullmatch(_BUCKET_NAME, name):
            raise pytest.UsageError(
                f"{place}: {name!r} is not a bucket name (3 to 63 of a-z, 0-9, '-' and '.', a letter or digit at both ends)"
            )
        if name in buckets:
            raise pytest.UsageError(f"{place}: bucket {name!r} is named twice")
        path = (base / directory).resolve() if directory else None
        if path is not None and not path.is_dir():
            raise pytest.UsageError(f"{place}: bucket {name!r}: there is no directory {str(path)!r}")
        buckets[name] = BucketSetting(name, path)
    return tuple(buckets.values())
