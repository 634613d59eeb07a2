"""Packages that a JVM is to be started with, as jars out of the cache in place of their coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytest_isolated_emr.spark import jars
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.java import Java


def with_packages(
    settings: Mapping[str, str],
    installation: SparkInstallation,
    java: Java,
    cache: Path,
    *,
    repositories: Sequence[str],
    progress: Callable[[str], None],
) -> dict[str, str]:
    """Return the settings with the jars of ``spark.jars.packages`` in place of their coordinates.

    :param settings: all settings of a JVM.
    :param installation: the Spark that they are for.
    :param java: what to run Ivy with.
    :param cache: the directory that holds sets of jars.
    :param repositories: roots of Maven repositories to use in the place of Maven Central.
    :param progress: is told what is being waited for.
    :raises JarsUnavailable: they cannot be fetched.
    """
    wanted = _listed(settings.get("spark.jars.packages", ""))
    if not wanted:
        return dict(settings)
    ivy_settings = settings.get("spark.jars.ivySettings")
    found = jars.packages(
        wanted,
        installation,
        java,
        cache,
        repositories=repositories,
        extra_repositories=_listed(settings.get("spark.jars.repositories", "")),
        # A suite that asks for hadoop-aws has it here already, without the bundle of hundreds of megabytes.
        excludes=[*_listed(settings.get("spark.jars.excludes", "")), *jars.PROVIDED_BY_S3_JARS],
        ivy_settings=Path(ivy_settings) if ivy_settings else None,
        progress=progress,
    )
    paths = ",".join(str(path) for path in found.jars)
    kept = {key: value for key, value in settings.items() if not key.startswith("spark.jars.")}
    # As spark-submit does: a package may have Python code in its jar.
    for key in ("spark.jars", "spark.submit.pyFiles"):
        kept[key] = ",".join(filter(None, [kept.get(key, ""), paths]))
    return {key: value for key, value in kept.items() if value}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
