"""The jars that Spark lacks: those for S3, and those that a suite asks for with ``spark.jars.packages``.

The AWS SDK's bundle, which hadoop-aws depends on, has 686 MB in it; the modules of the SDK that S3A uses,
without what Spark has itself, are 13 MB (7 MB for the SDK 1).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_isolated_emr.errors import JarsUnavailable, UnsupportedSpark
from pytest_isolated_emr.spark import ivy
from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.jar_cache import JarSet, cached, cached_sets, find, verify
from pytest_isolated_emr.spark.java import Java
from pytest_isolated_emr.spark.redirect import JAR_NAME, build_redirect, sources_digest

__all__ = ["PROVIDED_BY_S3_JARS", "JarSet", "cached_s3_jars", "cached_sets", "packages", "s3_jars", "verify"]

#: What :func:`s3_jars` stands in for. A suite that asks for these in ``spark.jars.packages`` has S3 already,
#: and would get several hundred megabytes of bundle: pass them as ``excludes``.
PROVIDED_BY_S3_JARS = (
    "org.apache.hadoop:hadoop-aws",
    "com.amazonaws:aws-java-sdk-bundle",
    "software.amazon.awssdk:bundle",
)

#: Counted up when the jars of a set change for a reason that is not in its name's digest.
_FORMAT = 1

#: By version of Hadoop: the AWS SDK that it was built with, and the analytics accelerator (hadoop-project's
#: POM).
_AWS_BY_HADOOP: dict[tuple[int, ...], tuple[str, str | None]] = {
    (3, 3, 4): ("1.12.262", None),
    (3, 3, 6): ("1.12.367", None),
    (3, 4, 0): ("2.23.19", None),
    # It was built with 2.24.6, which was published without the s3-transfer-manager.
    (3, 4, 1): ("2.24.8", None),
    (3, 4, 2): ("2.29.52", "1.2.1"),
    (3, 4, 3): ("2.35.4", "1.3.1"),
    (3, 5, 0): ("2.35.4", "1.3.1"),
}

#: The modules that S3A uses, by the SDK's major version.
_SDK_MODULES = {
    1: ("core", "s3", "kms", "sts", "dynamodb"),
    2: ("s3", "s3-transfer-manager", "sts", "apache-client"),
}

#: Spark has these under names of its own, or in other versions that go with them as well.
_SPARK_HAS = (("io.netty", "*"), ("org.slf4j", "*"), ("*", "commons-*"))

#: What Spark's own resolution leaves out, in 3.5 and 4: itself (the underscore keeps spark-streaming-kafka
#: in) and Scala's library.
_SPARK_COMPONENTS = (
    "catalyst core graphx kvstore launcher mllib mllib-local network-common network-shuffle repl sketch sql "
    "streaming tags unsafe"
)
_SPARK_EXCLUDES = (
    ("*", "scala-library"),
    *(("org.apache.spark", f"spark-{component}_*") for component in _SPARK_COMPONENTS.split()),
)


def s3_jars(
    installation: SparkInstallation,
    java: Java,
    cache: Path,
    *,
    repositories: Sequence[str] = (),
    progress: Callable[[str], None],
) -> JarSet:
    """Return what Spark needs for ``s3a://``, and the redirect that keeps it in the session.

    :param installation: the Spark that they are for.
    :param java: what to run Ivy with.
    :param cache: the directory that holds sets of jars.
    :param repositories: roots of Maven repositories to use in the place of Maven Central.
    :param progress: told what is being waited for.
    :raises JarsUnavailable: they are not in the cache, and cannot be fetched.
    :raises UnsupportedSpark: Spark was built with a Hadoop whose S3A is too old.
    """
    modules, sdk = _s3_modules(installation)
    excludes = _s3_excludes(installation)

    def fill(work: Path, jars: Path) -> None:
        sources = ivy.Sources(mirrors=tuple(repositories))
        _retrieve(modules, excludes, sources, installation, java, cache, work, jars, progress)
        progress("compiling the redirect of AWS clients")
        build_redirect(sdk, installation, java, sorted(jars.glob("*.jar")), jars / JAR_NAME)

    return cached(cache, _s3_name(installation), fill, progress)


def cached_s3_jars(installation: SparkInstallation, cache: Path) -> JarSet | None:
    """Return what :func:`s3_jars` would return without fetching anything; ``None`` if it would have to.

    :param installation: the Spark that they are for.
    :param cache: the directory that holds sets of jars.
    :raises UnsupportedSpark: Spark was built with a Hadoop whose S3A is too old.
    """
    return find(cache, _s3_name(installation))


def packages(
    coordinates: Sequence[str],
    installation: SparkInstallation,
    java: Java,
    cache: Path,
    *,
    repositories: Sequence[str] = (),
    extra_repositories: Sequence[str] = (),
    excludes: Sequence[str] = (),
    ivy_settings: Path | None = None,
    progress: Callable[[str], None],
) -> JarSet:
    """Return what ``spark.jars.packages`` asks for with all that it depends on, as Spark would resolve it.

    :param coordinates: ``group:artifact:version`` each, or with slashes.
    :param installation: the Spark that they are for.
    :param java: what to run Ivy with.
    :param cache: the directory that holds sets of jars.
    :param repositories: roots of Maven repositories to use in the place of Maven Central.
    :param extra_repositories: ``spark.jars.repositories``.
    :param excludes: ``spark.jars.excludes``, ``group:artifact`` each; coordinates may be among them.
    :param ivy_settings: ``spark.jars.ivySettings``; they then say alone where to look.
    :param progress: told what is being waited for.
    :raises JarsUnavailable: they are not in the cache and cannot be fetched, or a coordinate is none.
    """
    left_out = [_parts(exclude, "group:artifact") for exclude in excludes]
    wanted = [_parts(coordinate, "group:artifact:version") for coordinate in coordinates]
    # Ivy's own excludes are about what is depended on, not about what is asked for.
    modules = [ivy.Module(parts[0], parts[1], parts[2]) for parts in wanted if parts[:2] not in left_out]
    rules = [*_SPARK_EXCLUDES, *((group, name) for group, name in left_out)]
    sources = ivy.Sources(tuple(repositories), tuple(extra_repositories), ivy_settings)
    key = _digest(
        _FORMAT,
        [str(module) for module in modules],
        rules,
        sources.mirrors,
        sources.extra,
        _content(ivy_settings) if ivy_settings else None,
    )

    def fill(work: Path, jars: Path) -> None:
        if modules:
            _retrieve(modules, rules, sources, installation, java, cache, work, jars, progress)

    return cached(cache, f"packages-{key}", fill, progress)


def _retrieve(
    modules: Sequence[ivy.Module],
    excludes: Sequence[tuple[str, str]],
    sources: ivy.Sources,
    installation: SparkInstallation,
    java: Java,
    cache: Path,
    work: Path,
    jars: Path,
    progress: Callable[[str], None],
) -> None:
    try:
        ivy.retrieve(
            modules,
            excludes=excludes,
            sources=sources,
            installation=installation,
            java=java,
            work=work,
            target=jars,
            progress=progress,
        )
    except ivy.IvyFailed as failed:
        names = ", ".join(str(module) for module in modules)
        raise JarsUnavailable(
            f"Jars that Spark needs are not in the cache, and could not be fetched: {names}.",
            checked=f"the cache {cache}; then Ivy said:" + "".join(f"\n    {line}" for line in failed.lines),
            cure="With a network: `isolated-emr fetch`. With a mirror of Maven Central: "
            "`isolated-emr fetch --repository URL`. Both fill that directory, which can also be copied from "
            "another machine. JAVA_TOOL_OPTIONS names a proxy: -Dhttps.proxyHost=… -Dhttps.proxyPort=….",
        ) from None


def _s3_name(installation: SparkInstallation) -> str:
    modules = [str(module) for module in _s3_modules(installation)[0]]
    key = _digest(_FORMAT, modules, _s3_excludes(installation), sources_digest())
    return f"s3-hadoop-{installation.hadoop_version}-{key}"


def _s3_excludes(installation: SparkInstallation) -> list[tuple[str, str]]:
    return sorted({*_SPARK_HAS, *(("*", name) for name in _names_of_jars(installation.jars_dir))})


def _s3_modules(installation: SparkInstallation) -> tuple[list[ivy.Module], int]:
    """Return the modules that give this Spark its S3, and the major version of the AWS SDK among them."""
    found = re.match(r"\d+\.\d+\.\d+", installation.hadoop_version)
    hadoop = found[0] if found else "0.0.0"
    numbers = tuple(int(part) for part in hadoop.split("."))
    # A Hadoop newer than this table most likely works with the newest SDK in it that is not newer.
    known = [version for version in _AWS_BY_HADOOP if version <= numbers]
    if not known:
        oldest = ".".join(map(str, min(_AWS_BY_HADOOP)))
        raise UnsupportedSpark(
            f"This Spark is built with Hadoop {installation.hadoop_version}, older than {oldest}.",
            checked=f"the hadoop-client-api jar in {installation.jars_dir}",
            cure=f"Use the pyspark of PyPI, or a Spark distribution with Hadoop {oldest} or newer.",
        )
    sdk_version, accelerator = _AWS_BY_HADOOP[max(known)]
    sdk = int(sdk_version.split(".")[0])
    # Not what hadoop-aws depends on, which is the bundle.
    modules = [ivy.Module("org.apache.hadoop", "hadoop-aws", hadoop, transitive=False)]
    if accelerator:
        group = "software.amazon.s3.analyticsaccelerator"
        modules.append(ivy.Module(group, "analyticsaccelerator-s3", accelerator, transitive=False))
    group, prefix = ("com.amazonaws", "aws-java-sdk-") if sdk == 1 else ("software.amazon.awssdk", "")
    modules += [ivy.Module(group, prefix + name, sdk_version) for name in _SDK_MODULES[sdk]]
    return modules, sdk


def _names_of_jars(directory: Path) -> set[str]:
    """Return the modules in a directory of jars: ``jackson-core`` for ``jackson-core-2.15.2.jar``."""
    found = (re.match(r"(.+?)-\d.*\.jar$", jar.name) for jar in directory.glob("*.jar"))
    return {match[1] for match in found if match}


def _parts(coordinate: str, form: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in coordinate.replace("/", ":").split(":"))
    if len(parts) != form.count(":") + 1 or not all(parts):
        raise JarsUnavailable(
            f"{coordinate!r} does not name a package.",
            checked="spark.jars.packages and spark.jars.excludes",
            cure=f"Write it as {form}.",
        )
    return parts


def _content(ivy_settings: Path) -> str:
    try:
        return ivy_settings.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JarsUnavailable(
            f"The Ivy settings {ivy_settings} cannot be read.",
            checked=f"spark.jars.ivySettings: {error}",
            cure="Let it name a file that can be read, or unset it.",
        ) from error


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
