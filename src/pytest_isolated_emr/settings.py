"""The options and ini settings: their checks, and the settled values. An isolated run alone has a use for this module."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_isolated_emr.given_settings import Given, choice, flag, given, ini, one_of
from pytest_isolated_emr.options import (
    BACKENDS,
    DEFAULT_REGION,
    DEFAULT_SPARE_IDLE,
    DEFAULT_START_TIMEOUT,
    DEFAULT_WAIT,
)

if TYPE_CHECKING:
    from pytest_isolated_emr.emr_settings import EmrSettings

RETENTIONS = ("failed", "all", "none")
NETWORKS = ("closed", "open")
WARM = ("auto", "always", "never")
#: Less than this and no Spark starts, in bytes.
LEAST_MEMORY = 512 * 1024**2

# Patterns are compiled when they are used first.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET_NAME = r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]"
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
    :param warm: whether what makes later runs quicker is made after this one, and used by this one.
    :param wait: how long to wait for room, or for others' clusters, in seconds.
    :param spare_idle: how long a spare waits for its session, in seconds.
    :param repositories: roots of Maven repositories to fetch jars from, in place of Maven Central.
    :param release: the EMR release that the fixtures' clusters have; None for one with the installed Spark.
    :param docker: what the containers of the docker backend are.
    :param emr: what the cluster of the emr backend is; None on the others.
    """

    backend: str = BACKENDS[0]
    region: str = DEFAULT_REGION
    retention: str = RETENTIONS[0]
    spark_ui: bool = False
    start_timeout: float = DEFAULT_START_TIMEOUT
    buckets: tuple[BucketSetting, ...] = field(default=())
    warm: bool = False
    wait: float = DEFAULT_WAIT
    spare_idle: float = DEFAULT_SPARE_IDLE
    repositories: tuple[str, ...] = field(default=())
    release: str | None = None
    docker: DockerSettings = field(default=DockerSettings())
    emr: EmrSettings | None = None


def read_settings(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check all settings.

    :param config: pytest's configuration, as early as ``pytest_load_initial_conftests``.
    :param environ: the user's own environment, for the region's default.
    :raises pytest.UsageError: names the setting, its value and the choices.
    """
    backend = choice(config, "backend", BACKENDS)
    return Settings(
        backend=backend,
        region=_region(config, environ),
        retention=choice(config, "retention", RETENTIONS),
        spark_ui=flag(config, "spark_ui"),
        start_timeout=_seconds(config, "start_timeout", DEFAULT_START_TIMEOUT),
        buckets=_buckets(config),
        warm=_warm(config, environ),
        wait=_wait(config),
        spare_idle=_seconds(config, "spare_idle", DEFAULT_SPARE_IDLE),
        repositories=tuple(ini(config, "isolated_emr_repositories")),
        release=_release(config),
        docker=_docker(config),
        emr=_emr(config) if backend == "emr" else None,
    )


def _release(config: pytest.Config) -> str | None:
    found = given(config, "release")
    if found is None:
        return None
    from pytest_isolated_emr.emr import releases

    return one_of(found, tuple(releases.known()))


def _docker(config: pytest.Config) -> DockerSettings:
    image, memory, cpus = (given(config, name) for name in ("image", "docker_memory", "docker_cpus"))
    return DockerSettings(
        image=image[0] if image else None,
        memory=_size(memory) if memory else None,
        cpus=_number(cpus) if cpus else None,
        network=choice(config, "docker_network", NETWORKS),
    )


def _emr(config: pytest.Config) -> EmrSettings:
    from pytest_isolated_emr import emr_settings

    if ini(config, "isolated_emr_buckets"):
        raise pytest.UsageError(
            "ini setting isolated_emr_buckets: buckets are made for you on the backends local and docker alone, as a bucket's "
            "name is one in all of AWS: on emr use the scratch"
        )
    return emr_settings.read_settings(config)


def _size(found: Given) -> int:
    value, place = found
    # As Docker and the JVM have it.
    match = re.fullmatch(r"(\d+)\s*([kmg])(i?b)?", value.lower())
    size = int(match[1]) * 1024 ** (" kmg".index(match[2])) if match else 0
    if size < LEAST_MEMORY:
        raise pytest.UsageError(f"{place}: {value!r} is not a size of 512m or more, such as 3g")
    return size


def _number(found: Given) -> float:
    value, place = found
    try:
        number = float(value)
    except ValueError:
        number = 0
    if not 0.1 <= number < float("inf"):
        raise pytest.UsageError(f"{place}: {value!r} is not a number of cores of 0.1 or more, such as 1.5")
    return number


def _seconds(config: pytest.Config, name: str, default: float) -> float:
    found = given(config, name)
    if found is None:
        return default
    value, place = found
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise pytest.UsageError(f"{place}: {value!r} is not a number of seconds above 0 and up to 86400")
    return seconds


def _wait(config: pytest.Config) -> float:
    found = given(config, "wait")
    if found is None:
        return DEFAULT_WAIT
    value, place = found
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    # 0 is not to wait.
    if not 0 <= seconds <= 86_400:
        raise pytest.UsageError(f"{place}: {value!r} is not a number of seconds from 0 to 86400")
    return seconds


def _warm(config: pytest.Config, environ: Mapping[str, str]) -> bool:
    from pytest_isolated_emr.lifecycle.run_id import RUN_ID_VARIABLE
    from pytest_isolated_emr.session import SESSION_VARIABLE

    chosen = choice(config, "warm", WARM)
    # A CI job's machine is thrown away, or wants to be left idle: https://docs.github.com/actions/reference/variables
    in_ci = environ.get("CI", "").lower() not in ("", "0", "false")
    # What a session inside of another one leaves would go with that, or be in its way.
    is_inner = RUN_ID_VARIABLE in environ or SESSION_VARIABLE in environ
    return chosen == "always" or (chosen == "auto" and not in_ci and not is_inner)


def _region(config: pytest.Config, environ: Mapping[str, str]) -> str:
    found = given(config, "region")
    if found is None:
        return default_region(environ)
    value, place = found
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
    for line in ini(config, "isolated_emr_buckets"):
        name, _, directory = (part.strip() for part in line.partition("="))
        place = "ini setting isolated_emr_buckets"
        if not re.fullmatch(BUCKET_NAME, name):
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
